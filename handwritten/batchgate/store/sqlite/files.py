"""The files in a SQLite database."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

import msgspec

from batchgate.engine.model.file import File, FilePage, NewFile, counted_size
from batchgate.engine.model.workspace import QuotaDemand
from batchgate.store.list_records import NO_UPPER_BOUND
from batchgate.store.records import file_from_row
from batchgate.store.sqlite.connection import SqliteFile
from batchgate.store.sqlite.quotas import add_stored_bytes, reserve_quota
from batchgate.store.sqlite.transactions import (
    QUERIES,
    add_orphan_blobs,
    adopt_blob,
    archive_batch,
    fetch_dicts,
    fetch_one,
    find_batch,
)


class SqliteFiles:
    """The part of a store that implements `FileStore`."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    async def create_file(self, new: NewFile) -> File:
        """Store a file."""
        return await self._file.write(lambda connection: _create_file(connection, new))

    async def find_file(self, workspace: str, file_id: str, now: int) -> File | None:
        """Read a file of a workspace; None if it does not exist, is deleted, or has expired by ``now``."""
        params = {"workspace": workspace, "id": file_id, "now": 0}  # whatever the time, so that it can be remembered
        files = await self._file.look_up(
            ("find_file", workspace, file_id),
            lambda connection: _fetch_files(connection, "find_file", params),
        )
        return next((file for file in files if file.expires_at is None or file.expires_at > now), None)

    async def find_file_cursor(self, workspace: str, file_id: str) -> int | None:
        """Read the key of a file as a paging cursor; a deleted file keeps its key."""
        params = {"workspace": workspace, "id": file_id}
        key = ("find_file_cursor", workspace, file_id)
        row = await self._file.look_up(key, lambda connection: fetch_one(connection, "find_file_cursor", params))
        return None if row is None else int(row["key"])

    async def list_files(
        self, workspace: str, *, after: int | None, ascending: bool, limit: int, **filters: str | int | None
    ) -> FilePage:
        """Read a page of files in the order of upload or in reverse; see `FileStore.list_files`."""
        name = "list_files_oldest_first" if ascending else "list_files_newest_first"
        start = after if after is not None else 0 if ascending else NO_UPPER_BOUND
        params = {"workspace": workspace, "after": start, "limit": limit + 1, **filters}
        found = await self._file.read_long(lambda connection: _fetch_files(connection, name, params))
        return FilePage(files=tuple(found[:limit]), has_more=len(found) > limit)

    async def delete_file(self, workspace: str, file_id: str, now: int) -> File | None:
        """Delete a file and return it; only its paging cursor stays."""
        params = {"workspace": workspace, "id": file_id, "now": now}
        return await self._file.write(lambda connection: _delete_file(connection, params))

    async def expire_files(self, now: int) -> None:
        """Delete some expired files."""
        await self._file.write(lambda connection: _expire_files(connection, now))


def _create_file(connection: sqlite3.Connection, new: NewFile) -> File:
    """Store an uploaded file."""
    adopt_blob(connection, str(new.blob))
    demand = QuotaDemand(files=1, stored_bytes=counted_size(new.size), creates=1)
    reserve_quota(connection, new.workspace, demand, new.created_at)
    return file_from_row(connection.execute(QUERIES["insert_file"], msgspec.structs.asdict(new)).fetchone())


def _delete_file(connection: sqlite3.Connection, params: Mapping[str, object]) -> File | None:
    """Delete a file; blobs that only it used become orphans."""
    row = fetch_one(connection, "delete_file", params)
    if row is None:
        return None
    _release_file_blobs(connection, row)
    return file_from_row(row)


def _expire_files(connection: sqlite3.Connection, now: int) -> None:
    """Delete some expired files."""
    for row in connection.execute(QUERIES["expire_files"], {"now": now}).fetchall():
        _release_file_blobs(connection, row)


def _release_file_blobs(connection: sqlite3.Connection, file: sqlite3.Row) -> None:
    """Release the blobs of a deleted file: its own, or its batch's if no other file of the batch is left."""
    if file["batch_id"] is None:
        add_orphan_blobs(connection, (file["blob"],))
        add_stored_bytes(connection, file["workspace"], -counted_size(file["size"]), files=-1)
    elif fetch_one(connection, "has_files", {"id": file["batch_id"]}) is None:
        batch = find_batch(connection, file["workspace"], file["batch_id"])
        if batch is not None:
            archive_batch(connection, batch.key, file["deleted_at"])


def _fetch_files(connection: sqlite3.Connection, query: str, params: Mapping[str, object]) -> list[File]:
    """Run a statement and return the files in its rows."""
    return [file_from_row(row) for row in fetch_dicts(connection, query, params)]
