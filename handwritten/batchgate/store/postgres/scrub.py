"""`ScrubStore` on the PostgreSQL database of the store."""

from __future__ import annotations

from typing import Final

from batchgate.engine.model.stored_blob import BlobKind, BlobOwner, ScrubState, StoredBlob
from batchgate.store.postgres.connection import PostgresPool
from batchgate.store.records import scrub_state_from_row, scrub_state_row, stored_blob_from_row

LAST_KEY: Final = 2**63 - 1


class PostgresScrub:
    """The blobs that have an owner, and the state of the scrub; the caller opens and closes the pool."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool

    async def next_blob(self, kind: BlobKind, after: int) -> StoredBlob | None:
        """Read the blob of this kind whose owner has the next key after ``after``; None if there is no other."""
        return await self._blob_between(kind, after + 1, LAST_KEY)

    async def find_blob(self, owner: BlobOwner) -> StoredBlob | None:
        """Read the blob of an owner; None if the owner was deleted or no longer has one."""
        return await self._blob_between(owner.kind, owner.key, owner.key)

    async def load_scrub_state(self) -> ScrubState | None:
        """Read the state that was stored last; None if there is none."""
        return scrub_state_from_row(await self._pool.fetch_one("load_scrub_state", {}))

    async def save_scrub_state(self, state: ScrubState) -> None:
        """Store the state."""
        params = scrub_state_row(state)
        await self._pool.write(lambda transaction: transaction.execute("save_scrub_state", params), repeatable=True)

    async def _blob_between(self, kind: BlobKind, first: int, last: int) -> StoredBlob | None:
        params = {"first": first, "last": last}
        row = await self._pool.fetch_one(f"{kind}_blob_between", params)
        return stored_blob_from_row(kind, row)
