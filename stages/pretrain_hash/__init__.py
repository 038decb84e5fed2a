"""Learns a binary code for each user and item from their interactions."""
