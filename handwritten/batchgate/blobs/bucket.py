"""`Blobs` in a bucket: S3 and compatible stores, Google Cloud Storage, Azure Blob Storage.

Each call is bounded by `CLIENT_OPTIONS` and `RETRY_OPTIONS`: a store that hangs is a `BlobError` within a minute. Blobs
are read in ranges of `READ_SIZE`, with one range prefetched: a slow reader holds no connection and no more memory.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import aclosing, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import obstore
from obstore.exceptions import BaseError

from batchgate.blobs.error_translation import describe_error, translate_errors
from batchgate.blobs.object_store import ObjectStoreBlobs, ObjectStoreWriter
from batchgate.engine.model.errors import BlobError
from batchgate.engine.ports.blobs import ByteStream
from batchgate.engine.support.prefetch import prefetch

if TYPE_CHECKING:  # obstore defines these names for type checkers only
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

logger = logging.getLogger(__name__)

PART_SIZE: Final = 8 * 1024 * 1024
"""Bytes per part of an upload. S3 requires 5 MB except for the last part, and allows 10,000 parts: 80 GB."""
MAX_CONCURRENT_PARTS: Final = 2
"""Parts in flight while the next one is filled; a writer holds all of them in memory."""
READ_SIZE: Final = 4 * 1024 * 1024
CALLER_READ_SIZE: Final = 64 * 1024
"""Bytes of a range for a caller while `MAX_LARGE_READERS` others have larger ones."""
MAX_LARGE_READERS: Final = 8
"""Callers that may read in ranges of `READ_SIZE` at a time: one that stops reading holds two of them."""
ABORT_TIMEOUT: Final = 5.0  # seconds
CLIENT_OPTIONS: Final[ClientConfig] = {"connect_timeout": "5s", "timeout": "20s"}
"""Time limits of one attempt; a part takes that long on a link of 3.4 Mbit/s, the slowest one supported."""
RETRY_OPTIONS: Final[RetryConfig] = {
    "max_retries": 5,
    "retry_timeout": timedelta(seconds=30),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=2), "base": 2},
}
"""A store that refuses connections fails after about three seconds, one that hangs after its second attempt."""
PROBE_NAME: Final = "probes/start"


class BucketBlobs(ObjectStoreBlobs):
    """Blobs under a prefix of a bucket or container; ``location`` is its URL."""

    def __init__(self, store: ObjectStore, location: str) -> None:
        super().__init__(store)
        self._location = location
        self._large_readers = 0

    async def check(self) -> None:
        """Write, read and delete one byte; raises `BlobError` if the bucket is missing or denies access.

        Runs in a thread, not in the library's own tasks: those abort a process that is about to exit.
        """
        await asyncio.to_thread(self._check)

    def _check(self) -> None:
        with translate_errors(self._location):
            obstore.put(self._store, PROBE_NAME, b"x")
            # Another gateway that starts may have deleted it.
            with suppress(FileNotFoundError):
                obstore.get(self._store, PROBE_NAME)
            with suppress(FileNotFoundError):
                obstore.delete(self._store, PROBE_NAME)

    def writer(self, name: str) -> BucketWriter:
        """Start a blob; it does not exist before its commit."""
        return BucketWriter(self._store, name, part_size=PART_SIZE, max_concurrent_parts=MAX_CONCURRENT_PARTS)

    async def stream(
        self, name: str, offset: int = 0, length: int | None = None, *, for_caller: bool = False
    ) -> ByteStream:
        """Read a blob, or a range of it, in pieces."""
        end = (await self.find(name)).size if length is None else offset + length
        with self._range_size(for_caller) as size:
            reads = (self.read_range(name, start, min(size, end - start)) for start in range(offset, end, size))
            async with aclosing(prefetch(reads, ahead=1)) as pieces:
                async for piece in pieces:
                    yield piece

    @contextmanager
    def _range_size(self, for_caller: bool) -> Iterator[int]:
        """Choose the bytes of the ranges of one stream."""
        if not for_caller:
            yield READ_SIZE
        elif self._large_readers >= MAX_LARGE_READERS:
            yield CALLER_READ_SIZE
        else:
            self._large_readers += 1
            try:
                yield READ_SIZE
            finally:
                self._large_readers -= 1

    async def delete(self, name: str) -> None:
        """Delete a blob; it is no error if it does not exist.

        The invisible parts of an upload whose process died cannot be deleted here; a lifecycle rule of the bucket does.
        """
        with translate_errors(name), suppress(FileNotFoundError):
            await obstore.delete_async(self._store, name)

    def local_path(self, _name: str) -> Path | None:
        """Return None: the blob is no local file."""
        return None


class BucketWriter(ObjectStoreWriter):
    """Writes one object, in parts if it is large; the next part is filled while others are uploaded."""

    async def _discard(self, file: obstore.AsyncWritableFile) -> None:
        """Abort the upload; otherwise its parts would stay in the bucket, invisible and charged."""
        error = BlobError("the upload was aborted")
        try:
            async with asyncio.timeout(ABORT_TIMEOUT):
                await file.__aexit__(BlobError, error, None)
        except (BaseError, OSError, TimeoutError) as failure:
            cause = describe_error(failure)
            fields = {"action": "upload_abort_failed", "blob": self._name}
            logger.warning("%s: the aborted upload could not be deleted: %s", self._name, cause, extra=fields)
