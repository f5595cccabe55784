"""Runs Chat Completions rows by Gemini's generateContent: translates the request there and the answer back."""
