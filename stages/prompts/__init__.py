"""Prompts: codes as text, what a prompt holds, its words, its tokens, tables of prompts."""
