"""Collaborative models and their hashing, on one fitting loop."""
