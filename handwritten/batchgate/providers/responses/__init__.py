"""Reads errors and usage from the responses of all providers, and redacts keys."""
