"""Stage `train_lora`: a LoRA adapter that answers the prompts."""
