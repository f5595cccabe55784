"""The part of the store that keeps files."""

from __future__ import annotations

from typing import Protocol

from batchgate.engine.model.file import File, FilePage, NewFile


class FileStore(Protocol):
    """Keeps files; every write is durable when its call returns. Raises `StoreError`."""

    async def create_file(self, new: NewFile) -> File:
        """Store a file and make it the owner of its blob."""
        ...

    async def find_file(self, workspace: str, file_id: str, now: int) -> File | None:
        """Read a file of a workspace; None if it was deleted or has expired by ``now``."""
        ...

    async def find_file_cursor(self, workspace: str, file_id: str) -> int | None:
        """Read the key of a file for paging; a deleted or expired file keeps its key."""
        ...

    async def list_files(
        self,
        workspace: str,
        *,
        after: int | None,
        ascending: bool,
        purpose: str | None,
        provider: str | None,
        now: int,
        limit: int,
    ) -> FilePage:
        """Read a page in the order of upload or in reverse, starting after a key; omits deleted and expired files."""
        ...

    async def delete_file(self, workspace: str, file_id: str, now: int) -> File | None:
        """Delete a file except its paging key, and return it; its blob becomes an orphan.

        Deleting the last file that shows a batch archives the batch.
        """
        ...

    async def expire_files(self, now: int) -> None:
        """Delete a bounded number of expired files; their blobs become orphans."""
        ...
