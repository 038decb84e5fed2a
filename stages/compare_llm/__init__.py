"""Trains and measures the methods that BinLLM is compared with and that have an LLM."""
