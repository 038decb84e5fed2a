"""Figures that the documentation quotes, and the commands that print them."""
