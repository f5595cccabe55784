"""What is wrong with a table; without other imports, so that every command can import it."""

from __future__ import annotations


class TableError(Exception):
    """A table cannot be read or written; the message says what is wrong, where, and what would be right."""


class RowError(TableError):
    """One row is invalid; the rows behind it may be good."""
