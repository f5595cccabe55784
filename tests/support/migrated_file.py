"""Puts a migrated, empty SQLite file where a gateway would make one: applying all migrations takes longer than a test.

The tests of migrations and of the command line start without it.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from batchgate.store.sqlite.connection import SqliteFile
from batchgate.store.sqlite.migrate import migrate

DATABASE_FILE = "batchgate.db"


def put_migrated_file(folder: Path) -> None:
    """Create the file of a new gateway, unless the folder has one."""
    path = folder / DATABASE_FILE
    if path.exists():
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(_migrated())


@cache
def _migrated() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / DATABASE_FILE
        migrate(SqliteFile(path).connect)
        return path.read_bytes()
