"""`Blobs` in a local folder, synced to the disk before they are acknowledged."""

from __future__ import annotations

import asyncio
import glob
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import obstore
from obstore.store import LocalStore

from batchgate.blobs.faults import translated
from batchgate.blobs.object_store import ObjectStoreBlobs, ObjectStoreWriter
from batchgate.engine.model.errors import BlobError

WRITE_BUFFER: Final = 1024 * 1024
READ_PIECE: Final = 1024 * 1024
WRITES_AT_ONCE: Final = 12
"""Pieces of a file that may be on their way to the disk."""


class FolderBlobs(ObjectStoreBlobs):
    """Bodies in a folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        with translated(str(folder)):
            super().__init__(LocalStore(self._folder, mkdir=True))

    async def check(self) -> None:
        """Look if the folder is there; it was when this was made."""

    def writer(self, name: str) -> FolderWriter:
        """Begin a blob; it does not exist before its commit."""
        return FolderWriter(self._store, name, self._folder)

    async def stream(self, name: str, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Read a blob, or a part of it, in pieces."""
        if length == 0:
            return
        left = length
        with translated(name):
            found = await obstore.get_async(self._store, name, options=_span(offset, length))
            async for piece in found.stream(min_chunk_size=READ_PIECE):
                left = None if left is None else left - len(piece)
                yield bytes(piece)
        if left:
            raise BlobError(f"{name}: {left} bytes fewer than its size")

    async def delete(self, name: str) -> None:
        """Remove a blob, and what a writer that died has left of it; one that does not exist is no error."""
        with translated(name):
            with suppress(FileNotFoundError):
                await obstore.delete_async(self._store, name)
            await asyncio.to_thread(_remove_staged, self.local_path(name))

    def local_path(self, name: str) -> Path:
        """Tell the file that holds the blob."""
        return self._folder / name


class FolderWriter(ObjectStoreWriter):
    """Writes one file."""

    def __init__(self, store: obstore.store.ObjectStore, name: str, folder: Path) -> None:
        super().__init__(store, name, part=WRITE_BUFFER, parts_at_once=WRITES_AT_ONCE)
        self._path = folder / name
        self._folder = folder

    async def _commit(self, file: obstore.AsyncWritableFile) -> None:
        await super()._commit(file)
        with translated(self._name):
            await asyncio.to_thread(_sync, self._path, self._folder)

    async def _give_up(self, _file: obstore.AsyncWritableFile) -> None:
        """Drop the writer, at which the object store removes what it had staged."""


def _span(offset: int, length: int | None) -> obstore.GetOptions:
    if length is not None:
        return {"range": (offset, offset + length)}
    return {"range": {"offset": offset}} if offset else {}


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
