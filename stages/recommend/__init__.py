"""Command `recommend`: any items for any users, best first, by a trained adapter."""
