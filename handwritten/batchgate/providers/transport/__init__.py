"""Carries HTTP calls to providers."""
