"""Orphan blobs: blobs that belong to no batch and no file, because they are being written or their owner is gone.

A blob is registered as an orphan before its first byte is written. The transaction that stores its owner removes the
registration, and the transaction that deletes the owner registers the blob again. So after a crash at any step the
store still lists every blob to remove, and no storage needs to be searched.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from batchgate.engine.model.errors import BlobError, StoreError
from batchgate.engine.ports.blob_registry import BlobRegistry
from batchgate.engine.ports.blobs import Blobs, BlobWriter

logger = logging.getLogger(__name__)

REMOVALS_AT_ONCE = 16
REMOVAL_TIMEOUT = 5.0
"""Seconds after which a caller gets its answer although an unneeded blob is not removed yet."""


class OrphanBlobs:
    """Writes blobs for new batches and files, and removes blobs without an owner."""

    def __init__(self, registry: BlobRegistry, blobs: Blobs) -> None:
        self._registry = registry
        self._blobs = blobs
        self._being_written: set[str] = set()
        self._failed_removals: dict[str, str] = {}
        """The blobs that this process wrote and could not remove, with their intended owners."""

    @asynccontextmanager
    async def open_writer(self, owner: str, name: str) -> AsyncIterator[BlobWriter]:
        """Register a blob and write it; at the end of the context it is removed unless ``owner`` was stored with it."""
        self._being_written.add(name)
        try:
            await self._registry.add_orphan_blob(name)
            writer = self._blobs.writer(name)
            try:
                yield writer
            finally:
                await writer.abort()
                self._failed_removals[name] = owner
                with _failures_logged((name,)):
                    await self._remove_unless_owned(owner, name)
        finally:
            self._being_written.discard(name)

    async def remove(self, *names: str) -> None:
        """Remove blobs whose owner is gone; `sweep` retries what fails."""
        with _failures_logged(names):
            for name in names:
                await self._remove(name)

    async def retry_failed_removals(self) -> None:
        """Retry to remove blobs that this process wrote without success.

        Only this process can: while it lives, the others cannot know that the blob is no longer being written.
        """
        for name, owner in tuple(self._failed_removals.items()):
            with suppress(BlobError, StoreError, TimeoutError):
                await self._remove_unless_owned(owner, name)
            if name in self._failed_removals:  # the whole storage may be unreachable, so the rest waits
                return

    async def sweep(self) -> None:
        """Remove all orphans except those that this process is writing; raises the last `BlobError`.

        If no blob of a group could be removed, the whole storage may be unreachable. Then the rest waits for the next
        sweep.
        """
        failed: list[BlobError] = []
        names = await self._registry.list_orphan_blobs()
        for start in range(0, len(names), REMOVALS_AT_ONCE):
            group = names[start : start + REMOVALS_AT_ONCE]
            errors = await asyncio.gather(*map(self._remove_if_orphan, group))
            failed += filter(None, errors)
            if all(errors):
                break
        if failed:
            raise failed[-1]

    async def _remove_if_orphan(self, name: str) -> BlobError | None:
        """Remove a blob unless it has an owner by now or is being written; return the error, if any."""
        if name in self._being_written:
            return None
        try:
            await self._remove(name)
        except BlobError as error:
            return error
        return None

    async def _remove_unless_owned(self, owner: str, name: str) -> None:
        """Remove a written blob, unless the store says that its owner has it.

        Only the store knows this if the write of the owner was interrupted, or was refused because this process was
        considered dead.
        """
        async with asyncio.timeout(REMOVAL_TIMEOUT):
            # An unregistered blob has an owner, or another process removed it before its last bytes arrived.
            if await self._registry.tombstone_blob(name) or not await self._registry.owns_blob(owner, name):
                await self._delete(name)
        self._failed_removals.pop(name, None)

    async def _remove(self, name: str) -> None:
        # The blob may have got an owner since it was listed, and must not get one while it is being deleted.
        if await self._registry.tombstone_blob(name):
            await self._delete(name)

    async def _delete(self, name: str) -> None:
        await self._blobs.delete(name)
        await self._registry.forget_orphan_blobs((name,))


@contextmanager
def _failures_logged(names: Iterable[str]) -> Iterator[None]:
    try:
        yield
    except (BlobError, StoreError, TimeoutError) as error:
        fields = {"action": "blob_delete_failed", "blobs": list(names)}
        logger.warning("unneeded blobs are not removed yet: %s", str(error) or "the removal timed out", extra=fields)
