"""The numbered migrations of a database, which yoyo applies at start.

A migration is a file in the folder ``migrations`` of its database, such as ``0002.tenants.sql``; files are applied in
the order of their names. A file is plain SQL, statements that end with a semicolon and return no rows, or Python with a
``step`` where SQL does not suffice. A released migration is never changed, renamed or removed. ``schema.sql`` beside
the folder is the result of all migrations, for readers; a test checks that it is.

All pending migrations are applied and recorded in one transaction: a crash in between leaves the database as it was.
Yoyo's own lock is a table row that outlives a crashed process, so the callers hold better locks. Yoyo is imported
(`migration_runner`) only when a migration is pending.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from batchgate.engine.model.errors import StoreError

MIGRATIONS_TABLE: Final = "batchgate_migrations"
"""The table that records the applied migrations."""
MIGRATED_USER_VERSION: Final = 3
"""The ``user_version`` of SQLite files with that table."""


def migration_names(folder: Path) -> list[str]:
    """Return the migrations of a folder, in the order in which they are applied."""
    return sorted(path.stem for path in folder.iterdir() if path.suffix in {".sql", ".py"})


def needs_migration(folder: Path, applied: Iterable[str]) -> bool:
    """Return True if migrations are pending; raises `StoreError` for a database that is newer than this code."""
    available, found = set(migration_names(folder)), set(applied)
    if unknown := sorted(found - available):
        raise StoreError(f"the database has migration {unknown[0]} of a newer version of Batchgate; upgrade Batchgate")
    return found != available
