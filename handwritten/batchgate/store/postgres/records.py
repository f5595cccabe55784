"""What is written otherwise here than in other databases: the names of files, which may hold a NUL."""

from __future__ import annotations

import msgspec

from batchgate.engine.file import File, NewFile
from batchgate.store import records
from batchgate.store.postgres.connection import Row


def new_file_row(new: NewFile) -> dict[str, object]:
    """Write a file about to be stored."""
    return msgspec.structs.asdict(new) | {"filename": new.filename.encode()}


def file_of(row: Row) -> File:
    """Read a file."""
    return records.file_of(row | {"filename": row["filename"].decode()})
