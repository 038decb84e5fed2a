"""Collaborative models without an LLM: one fitting loop, matrix factorisation, hashing."""
