"""Runs Chat Completions rows on a Responses server: translates the request there and the answer back."""
