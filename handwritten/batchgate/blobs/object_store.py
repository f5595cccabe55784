"""`Blobs` on obstore: a local folder."""

from __future__ import annotations

import asyncio
import errno
import glob
import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore

from batchgate.engine.errors import BlobError
from batchgate.engine.unbroken import unbroken

WRITE_BUFFER = 1024 * 1024
READ_PIECE = 1024 * 1024
_OS_ERROR = re.compile(r"\(os error (\d+)\)")


class ObjectStoreBlobs:
    """Bodies in a folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        with _translated(str(folder)):
            self._store = LocalStore(self._folder, mkdir=True)

    def writer(self, name: str) -> ObjectStoreWriter:
        """Begin a blob; it does not exist before its commit."""
        return ObjectStoreWriter(self._store, name, self._folder)

    async def read_range(self, name: str, offset: int, length: int) -> bytes:
        """Read exactly these bytes."""
        with _translated(name):
            data = bytes(await obstore.get_range_async(self._store, name, start=offset, length=length))
        if len(data) != length:
            raise BlobError(f"{name}: {len(data)} bytes at {offset}, not {length}")
        return data

    async def stream(self, name: str) -> AsyncIterator[bytes]:
        """Read a blob from its beginning, in pieces."""
        with _translated(name):
            found = await obstore.get_async(self._store, name)
            async for piece in found.stream(min_chunk_size=READ_PIECE):
                yield bytes(piece)

    async def delete(self, name: str) -> None:
        """Remove a blob, and what a writer that died has left of it; one that does not exist is no error."""
        with _translated(name):
            with suppress(FileNotFoundError):
                await obstore.delete_async(self._store, name)
            await asyncio.to_thread(_remove_staged, self.local_path(name))

    def local_path(self, name: str) -> Path:
        """Tell the file that holds the blob."""
        return self._folder / name


class ObjectStoreWriter:
    """Writes one blob; what is not committed leaves nothing behind."""

    def __init__(self, store: LocalStore, name: str, folder: Path) -> None:
        self._name = name
        self._path = folder / name
        self._folder = folder
        with _translated(name):
            self._file: obstore.AsyncWritableFile | None = obstore.open_writer_async(
                store, name, buffer_size=WRITE_BUFFER
            )

    async def write(self, data: bytes) -> None:
        """Append bytes."""
        if self._file is None:
            raise BlobError(f"{self._name}: written after its end")
        with _translated(self._name):
            await self._file.write(data)

    async def commit(self) -> None:
        """Make the blob whole, durable and visible; once begun, it is not cut short by a cancellation."""
        if self._file is None:
            raise BlobError(f"{self._name}: committed after its end")
        await unbroken(self._commit(self._file))

    async def _commit(self, file: obstore.AsyncWritableFile) -> None:
        with _translated(self._name):
            await file.close()
            self._file = None
            await asyncio.to_thread(_sync, self._path, self._folder)

    async def abort(self) -> None:
        """Leave nothing behind; after a commit it does nothing."""
        # Dropping the writer makes the object store remove what it had staged.
        self._file = None


def _remove_staged(path: Path) -> None:
    """Remove what the object store had staged for a file as ``name#1``, and the folder if nothing else is in it."""
    for staged in path.parent.glob(f"{glob.escape(path.name)}#*"):
        staged.unlink(missing_ok=True)
    with suppress(OSError):
        path.parent.rmdir()


def _sync(path: Path, folder: Path) -> None:
    """Put a file and the names that lead to it from the store's folder on the disk."""
    for place in (path, *path.parents[: len(path.relative_to(folder).parts)]):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _translated(name: str) -> Iterator[None]:
    try:
        yield
    except (BaseError, OSError) as error:
        raise BlobError(f"{name}: {_reason(error)}") from error


def _reason(error: BaseError | OSError) -> str:
    """Say what is wrong as the operating system does, if it says so, and without the folders of this machine."""
    if isinstance(error, FileNotFoundError):
        return os.strerror(errno.ENOENT)
    number = getattr(error, "errno", None) or next(iter(_OS_ERROR.findall(str(error))), None)
    return os.strerror(int(number)) if number else str(error).partition("\n")[0]
