"""Checks that a file is a SQLite database that can be read, without changing it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from batchgate.engine.model.errors import StoreError


def check_file(path: Path) -> None:
    """Read the schema of a database file, which a gateway may be using; raises `StoreError`."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.Error as error:
        raise StoreError(f"{path} cannot be read: {error}") from error
