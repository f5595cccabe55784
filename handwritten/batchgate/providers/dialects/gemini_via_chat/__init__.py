"""Runs rows of Gemini's generateContent on a Chat Completions server: translates the request there, the answer back."""
