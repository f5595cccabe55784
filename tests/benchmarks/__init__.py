"""Measured ratios, printed by `nox -s bench`; nothing here is timed in a test."""
