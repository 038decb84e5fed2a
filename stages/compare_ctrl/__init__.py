"""CTRL (DIN): a DIN that was aligned with a text encoder before it was fitted on labels."""
