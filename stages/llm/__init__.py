"""The language model: load, batch, score, tune."""
