"""The part of the store that the scrub of stored blobs needs."""

from __future__ import annotations

from typing import Protocol

from batchgate.engine.model.stored_blob import BlobKind, BlobOwner, ScrubState, StoredBlob


class ScrubStore(Protocol):
    """Lists the blobs that have an owner, and keeps the state of the scrub. Raises `StoreError`."""

    async def next_blob(self, kind: BlobKind, after: int) -> StoredBlob | None:
        """Read the blob of this kind whose owner has the next key after ``after``; None if there is no other."""
        ...

    async def find_blob(self, owner: BlobOwner) -> StoredBlob | None:
        """Read the blob of an owner; None if the owner was deleted or no longer has one."""
        ...

    async def load_scrub_state(self) -> ScrubState | None:
        """Read the state that was stored last; None if there is none."""
        ...

    async def save_scrub_state(self, state: ScrubState) -> None:
        """Store the state."""
        ...
