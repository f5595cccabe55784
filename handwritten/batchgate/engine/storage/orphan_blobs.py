"""Blobs that belong to no batch and no file: those that are being written, and those that are left over.

A blob is announced to the store before its first byte. The transaction that gives it to its owner, a batch or a file,
takes the announcement back, and the one that takes it away again announces it once more. So whatever dies between two
steps, the store knows what is to be removed, and nothing has to be searched for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from batchgate.engine.model.errors import BlobError, StoreError
from batchgate.engine.ports.blobs import Blobs, BlobWriter
from batchgate.engine.ports.store import Store

logger = logging.getLogger(__name__)

REMOVALS_AT_ONCE = 16
REMOVAL_TIMEOUT = 5.0
"""Seconds after which a caller is answered although what was written for him in vain is not removed yet."""


class OrphanBlobs:
    """Writes blobs that are to belong to a batch or a file, and removes those that do not."""

    def __init__(self, store: Store, blobs: Blobs) -> None:
        self._store = store
        self._blobs = blobs
        self._being_written: set[str] = set()
        self._left: dict[str, str] = {}
        """Those that this process wrote and could not remove, with who was to own them."""

    @asynccontextmanager
    async def open_writer(self, owner: str, name: str) -> AsyncIterator[BlobWriter]:
        """Announce a blob and write it; when the context is left and its owner has not got it, it is removed."""
        self._being_written.add(name)
        try:
            await self._store.add_orphan_blob(name)
            writer = self._blobs.writer(name)
            try:
                yield writer
            finally:
                await writer.abort()
                await self._remove_unless_owned(owner, name)
        finally:
            self._being_written.discard(name)

    async def remove(self, *names: str) -> None:
        """Remove blobs whose owner is gone; what fails is left to `sweep`."""
        with _left_to_the_sweeper(names):
            for name in names:
                await self._remove(name)

    async def retry_failed_removals(self) -> None:
        """Try again to remove what was written here in vain: for others it is being written as long as this lives."""
        for name, owner in tuple(self._left.items()):
            with suppress(BlobError, StoreError, TimeoutError):
                await self._settle(owner, name)
            if name in self._left:  # the others can wait: the place as a whole may be out of reach
                return

    async def sweep(self) -> None:
        """Remove what is loose and not being written here; raises `BlobError` for what could not be, at last.

        When none of a group could be, the others wait for the next time: the place as a whole may be out of reach.
        """
        failed: list[BlobError] = []
        names = await self._store.list_orphan_blobs()
        for start in range(0, len(names), REMOVALS_AT_ONCE):
            group = names[start : start + REMOVALS_AT_ONCE]
            faults = await asyncio.gather(*map(self._remove_if_loose, group))
            failed += filter(None, faults)
            if all(faults):
                break
        if failed:
            raise failed[-1]

    async def _remove_if_loose(self, name: str) -> BlobError | None:
        """Remove a blob unless it has found an owner, or is being written; returns what stood in the way."""
        if name in self._being_written:
            return None
        try:
            await self._remove(name)
        except BlobError as error:
            return error
        return None

    async def _remove_unless_owned(self, owner: str, name: str) -> None:
        """Ask the store: after a write that was interrupted, or refused to one taken for dead, only it knows."""
        self._left[name] = owner
        with _left_to_the_sweeper((name,)):
            await self._settle(owner, name)

    async def _settle(self, owner: str, name: str) -> None:
        async with asyncio.timeout(REMOVAL_TIMEOUT):
            # One that is loose no longer has an owner, or was swept away before its last bytes came.
            if await self._store.tombstone_blob(name) or not await self._store.owns_blob(owner, name):
                await self._delete(name)
        self._left.pop(name, None)

    async def _remove(self, name: str) -> None:
        # What was loose a moment ago may have an owner by now, or get one while the blob is being deleted.
        if await self._store.tombstone_blob(name):
            await self._delete(name)

    async def _delete(self, name: str) -> None:
        await self._blobs.delete(name)
        await self._store.forget_orphan_blobs((name,))


@contextmanager
def _left_to_the_sweeper(names: Iterable[str]) -> Iterator[None]:
    try:
        yield
    except (BlobError, StoreError, TimeoutError) as error:
        fields = {"action": "blob_delete_failed", "blobs": list(names)}
        logger.warning("what nothing needs is not removed yet: %s", str(error) or "it takes too long", extra=fields)
