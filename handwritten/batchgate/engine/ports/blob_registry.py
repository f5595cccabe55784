"""The part of the store that registers orphan blobs: blobs without an owner, which is a batch or a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class BlobRegistry(Protocol):
    """Keeps the names of orphan blobs: blobs being written, and blobs whose owner is gone. Raises `StoreError`."""

    async def add_orphan_blob(self, name: str) -> None:
        """Register a blob that is about to be written and has no owner yet."""
        ...

    async def list_orphan_blobs(self) -> Sequence[str]:
        """Read the names of the blobs that have no owner."""
        ...

    async def tombstone_blob(self, name: str) -> bool:
        """Mark an orphan for removal, so that it cannot get an owner; False if it has one or is not registered."""
        ...

    async def owns_blob(self, owner: str, name: str) -> bool:
        """Check that a blob belongs to the batch or file with this id, and that the owner has not been deleted."""
        ...

    async def forget_orphan_blobs(self, names: Sequence[str]) -> None:
        """Delete the entries of blobs that have been removed."""
        ...
