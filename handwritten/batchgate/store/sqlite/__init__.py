"""The embedded store: one SQLite file in WAL mode, one writer with group commit."""

from batchgate.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
