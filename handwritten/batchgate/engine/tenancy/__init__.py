"""Workspaces, API keys and secrets."""
