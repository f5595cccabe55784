"""What the implementations of `Blobs` on obstore have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import obstore

from batchgate.blobs.faults import translated
from batchgate.engine.model.errors import BlobError
from batchgate.engine.ports.blobs import BlobInfo
from batchgate.engine.support.cancellation import shielded

if TYPE_CHECKING:  # a name that obstore has for type checkers alone
    from obstore.store import ObjectStore

SETTLES: Final = 0.05
"""Seconds in which the library's threads let go of what they have answered: a process that ends before is aborted."""
WRITE_STEP: Final = 1024 * 1024
"""Bytes that are handed over at once: a writer that is handed more holds a second copy of all of it."""


class ObjectStoreBlobs:
    """Bodies in an object store."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def find(self, name: str) -> BlobInfo:
        """Tell what is known of a blob."""
        with translated(name):
            found = await obstore.head_async(self._store, name)
        return BlobInfo(size=found["size"], modified=found["last_modified"].timestamp())

    async def read_range(self, name: str, offset: int, length: int) -> bytes:
        """Read exactly these bytes."""
        with translated(name):
            data = bytes(await obstore.get_range_async(self._store, name, start=offset, length=length))
        if len(data) != length:
            raise BlobError(f"{name}: {len(data)} bytes at {offset}, not {length}")
        return data


class ObjectStoreWriter:
    """Writes one blob; what is not committed leaves nothing behind."""

    def __init__(self, store: ObjectStore, name: str, *, part: int, parts_at_once: int) -> None:
        self._name = name
        self._failed = False
        with translated(name):
            self._file: obstore.AsyncWritableFile | None = obstore.open_writer_async(
                store, name, buffer_size=part, max_concurrency=parts_at_once
            )

    async def write(self, data: bytes) -> None:
        """Append bytes."""
        if self._file is None or self._failed:
            raise BlobError(f"{self._name}: written after its end")
        view = memoryview(data)
        try:
            with translated(self._name):
                for start in range(0, len(data), WRITE_STEP):
                    await self._file.write(view[start : start + WRITE_STEP])
        except BaseException:
            # The library's writer forgets its place with its first fault: what came after would go somewhere else.
            self._failed = True
            raise

    async def commit(self) -> None:
        """Make the blob whole, durable and visible; once begun, it is not cut short by a cancellation."""
        if self._file is None or self._failed:
            raise BlobError(f"{self._name}: committed after its end")
        await shielded(self._commit(self._file))

    async def _commit(self, file: obstore.AsyncWritableFile) -> None:
        with translated(self._name):
            self._file = None
            await file.close()

    async def abort(self) -> None:
        """Leave nothing behind; after a commit it does nothing."""
        file, self._file = self._file, None
        if file is not None:
            await self._give_up(file)

    async def _give_up(self, file: obstore.AsyncWritableFile) -> None:
        """Remove what has been written of a blob that is not to be."""
        raise NotImplementedError
