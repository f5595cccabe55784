"""Finds storage leaks: blobs and rows that no batch and no file owns, and blobs that are missing."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg

from tests.support.blob_storage import BlobStorage

TIMEOUT = 120.0  # seconds; only a state that never comes should exceed it

_OWNED_BLOBS = """
SELECT input_blob FROM batches WHERE deleted_at IS NULL AND input_blob IS NOT NULL
UNION SELECT results_blob FROM batches WHERE deleted_at IS NULL AND results_blob IS NOT NULL
UNION SELECT blob FROM files WHERE deleted_at IS NULL AND blob IS NOT NULL
"""
_WITHOUT_RUNNING_BATCH = "WHERE batch_key NOT IN (SELECT key FROM batches WHERE ended_at IS NULL)"
_LEAKED_ROWS = {
    "orphan blobs": "SELECT count(*) FROM loose_blobs",
    "chunks of ended batches": f"SELECT count(*) FROM chunks {_WITHOUT_RUNNING_BATCH}",
    "failures of archived batches": (
        "SELECT count(*) FROM batch_failures JOIN batches ON key = batch_key"
        " WHERE archived_at IS NOT NULL OR deleted_at IS NOT NULL"
    ),
    "shards of ended batches": f"SELECT count(*) FROM shards {_WITHOUT_RUNNING_BATCH}",
}


def find_storage_leaks(data_dir: Path, database_url: str | None = None) -> list[str]:
    """List leaked files, missing files and empty folders by name, and leaked rows by count."""
    with closing(_connect(data_dir, database_url)) as connection:
        owned = {name for (name,) in connection.execute(_OWNED_BLOBS)}
        rows = [f"{count} {kind}" for kind, query in _LEAKED_ROWS.items() for (count,) in connection.execute(query)]
    blobs = data_dir / "blobs"
    walk = list(os.walk(blobs))
    stored = {os.path.relpath(Path(folder, name), blobs) for folder, _, names in walk for name in names}
    if BlobStorage.server is not None:
        assert not walk
        stored = {*BlobStorage.server.names(), *BlobStorage.server.unfinished_uploads()}
    owners = {"batches", "files"}
    empty_folders = [
        folder for folder, inside, names in walk if Path(folder).parent.name in owners and not inside + names
    ]
    other_files = {path.name for path in data_dir.glob("*")} - {"blobs", "lock"}
    return [
        *(f"file {name}" for name in sorted(stored - owned)),
        *(f"missing {name}" for name in sorted(owned - stored)),
        *(f"file {name}" for name in sorted(other_files) if not name.startswith("batchgate.")),
        *(f"empty folder {folder}" for folder in empty_folders),
        *(row for row in rows if not row.startswith("0 ")),
    ]


def _connect(data_dir: Path, database_url: str | None) -> Any:
    if database_url is not None:
        return psycopg.connect(database_url)
    return sqlite3.connect(f"file:{data_dir / 'batchgate.db'}?mode=ro", uri=True)


def check_no_storage_leaks(data_dir: Path, database_url: str | None = None) -> None:
    """Fail unless the running gateway has removed all leaks within `TIMEOUT`."""
    deadline = time.monotonic() + TIMEOUT
    while leaks := find_storage_leaks(data_dir, database_url):
        assert time.monotonic() < deadline, leaks
        time.sleep(0.02)
