"""Turns learned codes into tables that prompts are made from."""
