"""Sends HTTP calls to providers."""
