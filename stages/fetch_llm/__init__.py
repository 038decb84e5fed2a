"""Fetches the LLM into `models/llm`: safetensors, tokenizer, and where they came from."""
