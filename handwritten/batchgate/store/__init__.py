"""Implementations of the engine's `Store` on SQLite and PostgreSQL, and what they share."""
