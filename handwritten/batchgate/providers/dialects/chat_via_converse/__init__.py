"""Runs Chat Completions rows by Bedrock's Converse API: translates the request there and the answer back."""
