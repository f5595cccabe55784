"""Reads what every provider's response may hold: errors, usage, keys to redact."""
