"""Stage `cost`: what prompts cost without codes, with bits and with dot-decimal codes."""
