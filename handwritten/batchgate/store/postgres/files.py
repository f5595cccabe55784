"""The files in a PostgreSQL database. Rows are locked as `transactions` says: a batch, its files, then blobs."""

from __future__ import annotations

import msgspec

from batchgate.engine.model.file import File, FilePage, NewFile, counted_size
from batchgate.engine.model.workspace import QuotaDemand
from batchgate.store.list_records import NO_UPPER_BOUND
from batchgate.store.postgres.connection import Params, PostgresPool, Row, Transaction, is_storable
from batchgate.store.postgres.quotas import add_stored_bytes, reserve_quota
from batchgate.store.postgres.transactions import add_orphan_blobs, adopt_blob, archive_batch
from batchgate.store.records import file_from_row


class PostgresFiles:
    """The part of a store that implements `FileStore`."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool

    async def create_file(self, new: NewFile) -> File:
        """Store a file."""
        return await self._pool.write(lambda transaction: _create_file(transaction, new))

    async def find_file(self, workspace: str, file_id: str, now: int) -> File | None:
        """Read a file of a workspace; None if it does not exist, is deleted, or has expired by ``now``."""
        row = await self._pool.find_one("find_file", {"workspace": workspace, "id": file_id, "now": now})
        return None if row is None else file_from_row(row)

    async def find_file_cursor(self, workspace: str, file_id: str) -> int | None:
        """Read the key of a file as a paging cursor; a deleted file keeps its key."""
        row = await self._pool.find_one("find_file_cursor", {"workspace": workspace, "id": file_id})
        return None if row is None else int(row["key"])

    async def list_files(
        self, workspace: str, *, after: int | None, ascending: bool, limit: int, **filters: str | int | None
    ) -> FilePage:
        """Read a page of files in the order of upload or in reverse; see `FileStore.list_files`."""
        name = "list_files_oldest_first" if ascending else "list_files_newest_first"
        start = after if after is not None else 0 if ascending else NO_UPPER_BOUND
        params = {"workspace": workspace, "after": start, "limit": limit + 1, **filters}
        found = await self._pool.fetch_long(name, params, file_from_row) if is_storable(*params.values()) else []
        return FilePage(files=tuple(found[:limit]), has_more=len(found) > limit)

    async def delete_file(self, workspace: str, file_id: str, now: int) -> File | None:
        """Delete a file and return it; only its paging cursor stays."""
        params = {"workspace": workspace, "id": file_id, "now": now}
        if not is_storable(workspace, file_id):
            return None
        return await self._pool.write(lambda transaction: _delete_file(transaction, params))

    async def expire_files(self, now: int) -> None:
        """Delete some expired files."""
        await self._pool.write(lambda transaction: _expire_files(transaction, now), repeatable=True)


async def _create_file(transaction: Transaction, new: NewFile) -> File:
    """Store an uploaded file."""
    await adopt_blob(transaction, str(new.blob))
    await transaction.execute("lock_workspace_order", {"workspace": new.workspace})
    demand = QuotaDemand(files=1, stored_bytes=counted_size(new.size), creates=1)
    await reserve_quota(transaction, new.workspace, demand, new.created_at)
    row = await transaction.fetch_one("insert_file", msgspec.structs.asdict(new))
    assert row is not None
    return file_from_row(row)


async def _delete_file(transaction: Transaction, params: Params) -> File | None:
    """Delete a file; blobs that only it used become orphans."""
    await transaction.execute("lock_batch_of_file", params)
    row = await transaction.fetch_one("delete_file", params)
    if row is None:
        return None
    await _release_file_blobs(transaction, row)
    return file_from_row(row)


async def _expire_files(transaction: Transaction, now: int) -> None:
    """Delete some expired files."""
    params = {"now": now, "ids": [row["id"] for row in await transaction.fetch_all("expired_files", {"now": now})]}
    if params["ids"]:
        await transaction.execute("lock_batches_of_files", params)
        for row in await transaction.fetch_all("expire_files", params):
            await _release_file_blobs(transaction, row)


async def _release_file_blobs(transaction: Transaction, file: Row) -> None:
    """Release the blobs of a deleted file: its own, or its batch's if no other file of the batch is left."""
    params = {"id": file["batch_id"], "workspace": file["workspace"]}
    if file["batch_id"] is None:
        await add_orphan_blobs(transaction, (file["blob"],))
        await add_stored_bytes(transaction, file["workspace"], -counted_size(file["size"]), files=-1)
    elif await transaction.fetch_one("has_files", params) is None:
        batch = await transaction.fetch_one("find_batch", params)
        if batch is not None:
            await archive_batch(transaction, batch["key"], file["deleted_at"])
