"""Fetches the text encoder into `models/encoder`: safetensors, tokenizer, and their origin."""
