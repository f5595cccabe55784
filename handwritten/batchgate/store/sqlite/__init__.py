"""The embedded store: one SQLite file in WAL mode, with one writer that commits in groups."""

from batchgate.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
