"""Numbered migrations, applied at start by yoyo: what the databases have in common.

A migration is a file in the folder ``migrations`` of its database, ``0002.tenants.sql`` and so on, applied in the order
of their names. It is plain SQL, statements that end with a semicolon and return no rows; or Python with a ``step``,
where SQL alone does not do. One that has been released is never changed, renamed or taken out. ``schema.sql`` beside
the folder says what all of them make together, for whoever reads it, and a test holds that.

All that is missing is applied in one transaction, together with the note that it was: whatever dies in between, the
database is as it was before. Yoyo's own lock is a row in a table, which outlives who took it; the callers bring better
ones. Yoyo is imported (`applying`) only when there is something to apply.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from batchgate.engine.model.errors import StoreError

APPLIED: Final = "batchgate_migrations"
"""The table of the migrations that have been applied."""
NUMBERED: Final = 3
"""The ``user_version`` of SQLite files that have that table."""


def names(folder: Path) -> list[str]:
    """List the migrations of a folder, in their order."""
    return sorted(path.stem for path in folder.iterdir() if path.suffix in {".sql", ".py"})


def missing(folder: Path, applied: Iterable[str]) -> bool:
    """Tell if there are migrations to apply; raises `StoreError` for a database that is newer than this code."""
    known, found = set(names(folder)), set(applied)
    if unknown := sorted(found - known):
        raise StoreError(f"the database has migration {unknown[0]}, which only a newer version of Batchgate knows")
    return found != known
