"""Copies an installation that stands still to another database and another place for bodies, and verifies the copy."""
