"""Translates requests for embeddings, and their answers, between OpenAI's format and Gemini's."""
