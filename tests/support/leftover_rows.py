"""What a gateway has left in its data folder that no batch and no file needs."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg

from tests.support.bodies import Bodies

WITHIN = 20.0  # seconds

_OWNED = """
SELECT input_blob FROM batches WHERE deleted_at IS NULL AND input_blob IS NOT NULL
UNION SELECT results_blob FROM batches WHERE deleted_at IS NULL AND results_blob IS NOT NULL
UNION SELECT blob FROM files WHERE deleted_at IS NULL AND blob IS NOT NULL
"""
_OF_NO_OPEN_BATCH = "WHERE batch_key NOT IN (SELECT key FROM batches WHERE ended_at IS NULL)"
_LEFT_ROWS = {
    "loose blobs": "SELECT count(*) FROM loose_blobs",
    "chunks of ended batches": f"SELECT count(*) FROM chunks {_OF_NO_OPEN_BATCH}",
    "shards of ended batches": f"SELECT count(*) FROM shards {_OF_NO_OPEN_BATCH}",
}


def leftovers(data_dir: Path, database_url: str | None = None) -> list[str]:
    """Name the files and count the rows that belong to nothing, and name the files that are missing."""
    with closing(_connect(data_dir, database_url)) as connection:
        owned = {name for (name,) in connection.execute(_OWNED)}
        rows = [f"{count} {what}" for what, query in _LEFT_ROWS.items() for (count,) in connection.execute(query)]
    blobs = data_dir / "blobs"
    walk = list(os.walk(blobs))
    there = {os.path.relpath(Path(folder, name), blobs) for folder, _, names in walk for name in names}
    if Bodies.server is not None:
        assert not walk
        there = {*Bodies.server.names(), *Bodies.server.uploads()}
    owners = {"batches", "files"}
    empty = [folder for folder, inside, names in walk if Path(folder).parent.name in owners and not inside + names]
    other = {path.name for path in data_dir.glob("*")} - {"blobs", "lock"}
    return [
        *(f"file {name}" for name in sorted(there - owned)),
        *(f"missing {name}" for name in sorted(owned - there)),
        *(f"file {name}" for name in sorted(other) if not name.startswith("batchgate.")),
        *(f"empty folder {folder}" for folder in empty),
        *(row for row in rows if not row.startswith("0 ")),
    ]


def _connect(data_dir: Path, database_url: str | None) -> Any:
    if database_url is not None:
        return psycopg.connect(database_url)
    return sqlite3.connect(f"file:{data_dir / 'batchgate.db'}?mode=ro", uri=True)


def check_nothing_is_left(data_dir: Path, database_url: str | None = None) -> None:
    """Fail unless a gateway that runs has soon removed all that nothing needs."""
    deadline = time.monotonic() + WITHIN
    while left := leftovers(data_dir, database_url):
        assert time.monotonic() < deadline, left
        time.sleep(0.02)
