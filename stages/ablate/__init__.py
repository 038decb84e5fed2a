"""Ablations of BinLLM: the same way from codes to scores with one thing changed."""
