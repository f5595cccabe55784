"""Runs Chat Completions rows on a Messages server: translates the request there and the answer back."""
