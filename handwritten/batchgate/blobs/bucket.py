"""`Blobs` in a bucket: S3 and what speaks its protocol, Google Cloud Storage, Azure Blob Storage.

Each call is bounded by `CLIENT` and `RETRIES`, so that a store that hangs is a `BlobError` within a minute. Bodies are
read in ranges of `READ_PIECE`, one ahead: no connection to the store waits for a slow reader, and no more is held for
him.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import obstore
from obstore.exceptions import BaseError

from batchgate.blobs.faults import reason, translated
from batchgate.blobs.object_store import ObjectStoreBlobs, ObjectStoreWriter
from batchgate.engine.model.errors import BlobError
from batchgate.engine.support.prefetch import prefetch

if TYPE_CHECKING:  # names that obstore has for type checkers alone
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

logger = logging.getLogger(__name__)

PART: Final = 8 * 1024 * 1024
"""Bytes of one part of an upload: S3 takes none below 5 MB but the last, and at most 10,000, which makes 80 GB."""
PARTS_AT_ONCE: Final = 2
"""Parts that are on their way while the next is being filled; with it they are what a writer holds."""
READ_PIECE: Final = 4 * 1024 * 1024
ABORT_PATIENCE: Final = 5.0  # seconds
CLIENT: Final[ClientConfig] = {"connect_timeout": "5s", "timeout": "20s"}
"""What one try may take; the slowest useful link carries a part in that time, 3.4 Mbit/s."""
RETRIES: Final[RetryConfig] = {
    "max_retries": 5,
    "retry_timeout": timedelta(seconds=30),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2},
}
"""A store that refuses connections is given up after about three seconds, one that hangs after its second try."""
PROBE: Final = "probes/start"


class BucketBlobs(ObjectStoreBlobs):
    """Bodies under a prefix of a bucket, or container; ``place`` is its URL."""

    def __init__(self, store: ObjectStore, place: str) -> None:
        super().__init__(store)
        self._place = place

    async def check(self) -> None:
        """Write a byte, read it and remove it: raises `BlobError` where the bucket is missing or refuses.

        In a thread, and not as the library's tasks: the process may be about to end, and those abort it then.
        """
        await asyncio.to_thread(self._check)

    def _check(self) -> None:
        with translated(self._place):
            obstore.put(self._store, PROBE, b"x")
            # Another gateway that starts may have removed it by now.
            with suppress(FileNotFoundError):
                obstore.get(self._store, PROBE)
            with suppress(FileNotFoundError):
                obstore.delete(self._store, PROBE)

    def writer(self, name: str) -> BucketWriter:
        """Begin a blob; it does not exist before its commit."""
        return BucketWriter(self._store, name, part=PART, parts_at_once=PARTS_AT_ONCE)

    async def stream(self, name: str, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Read a blob, or a part of it, in pieces."""
        end = (await self.find(name)).size if length is None else offset + length
        reads = (self.read_range(name, start, min(READ_PIECE, end - start)) for start in range(offset, end, READ_PIECE))
        async for piece in prefetch(reads, ahead=1):
            yield piece

    async def delete(self, name: str) -> None:
        """Remove a blob; one that does not exist is no error.

        The parts of an upload whose process died are out of reach, and invisible: the bucket's own rule removes them.
        """
        with translated(name), suppress(FileNotFoundError):
            await obstore.delete_async(self._store, name)

    def local_path(self, _name: str) -> Path | None:
        """Tell that there is no file."""
        return None


class BucketWriter(ObjectStoreWriter):
    """Writes one object, in parts if it is large; the next part is filled while others are on their way."""

    async def _give_up(self, file: obstore.AsyncWritableFile) -> None:
        """Abort the upload, of which dropping the writer would leave the parts; they cost, and nobody sees them."""
        error = BlobError("it is given up")
        try:
            async with asyncio.timeout(ABORT_PATIENCE):
                await file.__aexit__(BlobError, error, None)
        except (BaseError, OSError, TimeoutError) as fault:
            why = reason(fault)
            fields = {"action": "upload_abort_failed", "blob": self._name}
            logger.warning("%s: what was uploaded of it could not be removed: %s", self._name, why, extra=fields)
