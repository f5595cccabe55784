"""Base classes for implementations of `Blobs` on obstore."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import obstore

from batchgate.blobs.error_translation import translate_errors, translate_read_errors
from batchgate.engine.model.errors import BlobError, DamagedBlob
from batchgate.engine.ports.blobs import BlobInfo
from batchgate.engine.support.cancellation import shielded

if TYPE_CHECKING:  # obstore defines this name for type checkers only
    from obstore.store import ObjectStore

THREAD_RELEASE_DELAY: Final = 0.05
"""Seconds until obstore's threads have released their results; a process that exits earlier is aborted."""
MAX_WRITE_SIZE: Final = 1024 * 1024
"""Bytes per write to obstore, which copies them: larger writes would double the memory in use."""


class ObjectStoreBlobs:
    """Blobs in an obstore `ObjectStore`."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def find(self, name: str) -> BlobInfo:
        """Return the size and time of a blob."""
        with translate_read_errors(name):
            found = await obstore.head_async(self._store, name)
        return BlobInfo(size=found["size"], modified=found["last_modified"].timestamp())

    async def read_range(self, name: str, offset: int, length: int) -> bytes:
        """Read exactly these bytes."""
        with translate_read_errors(name):
            data = bytes(await obstore.get_range_async(self._store, name, start=offset, length=length))
        if len(data) != length:
            raise DamagedBlob(f"{name}: {len(data)} bytes at {offset}, not {length}")
        return data


class ObjectStoreWriter:
    """Writes one blob; without a commit it leaves nothing behind."""

    def __init__(self, store: ObjectStore, name: str, *, part_size: int, max_concurrent_parts: int) -> None:
        self._name = name
        self._failed = False
        with translate_errors(name):
            self._file: obstore.AsyncWritableFile | None = obstore.open_writer_async(
                store, name, buffer_size=part_size, max_concurrency=max_concurrent_parts
            )

    async def write(self, data: bytes) -> None:
        """Append bytes."""
        if self._file is None or self._failed:
            raise BlobError(f"{self._name}: written after its commit, abort or failure")
        view = memoryview(data)
        try:
            with translate_errors(self._name):
                for start in range(0, len(data), MAX_WRITE_SIZE):
                    await self._file.write(view[start : start + MAX_WRITE_SIZE])
        except BaseException:
            # After its first error obstore's writer loses its position: later bytes would be written at a wrong offset.
            self._failed = True
            raise

    async def commit(self) -> None:
        """Make the blob complete, durable and visible; a cancellation does not interrupt it."""
        if self._file is None or self._failed:
            raise BlobError(f"{self._name}: committed after its commit, abort or failure")
        await shielded(self._commit(self._file))

    async def _commit(self, file: obstore.AsyncWritableFile) -> None:
        with translate_errors(self._name):
            self._file = None
            await file.close()

    async def abort(self) -> None:
        """Delete what was written; does nothing after a commit."""
        file, self._file = self._file, None
        if file is not None:
            await self._discard(file)

    async def _discard(self, file: obstore.AsyncWritableFile) -> None:
        """Delete the written part of an uncommitted blob."""
        raise NotImplementedError
