"""Runs Converse rows on a Chat Completions server: translates the request there and the answer back."""
