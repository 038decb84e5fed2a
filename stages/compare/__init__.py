"""Fits and measures the methods that BinLLM is compared with and that need no LLM."""
