"""`Blobs` in a local folder, synced to the disk at each commit."""

from __future__ import annotations

import asyncio
import glob
import os
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

import obstore
from obstore.store import LocalStore

from batchgate.blobs.error_translation import translate_errors, translate_read_errors
from batchgate.blobs.object_store import ObjectStoreBlobs, ObjectStoreWriter
from batchgate.engine.model.errors import DamagedBlob
from batchgate.engine.ports.blobs import ByteStream
from batchgate.engine.support.cancellation import shielded

WRITE_BUFFER: Final = 1024 * 1024
READ_SIZE: Final = 1024 * 1024
CALLER_READ_SIZE: Final = 64 * 1024
"""Bytes of a piece for a caller."""
MAX_CONCURRENT_WRITES: Final = 12
"""Pieces of one file that are written concurrently."""


class FolderBlobs(ObjectStoreBlobs):
    """Blobs in a local folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()
        with translate_errors(str(folder)):
            super().__init__(LocalStore(self._folder, mkdir=True))

    async def check(self) -> None:
        """Do nothing: the constructor created the folder."""

    def writer(self, name: str) -> FolderWriter:
        """Start a blob; it does not exist before its commit."""
        return FolderWriter(self._store, name, self._folder)

    async def stream(
        self, name: str, offset: int = 0, length: int | None = None, *, for_caller: bool = False
    ) -> ByteStream:
        """Read a blob, or a range of it, in pieces; a blob that is deleted meanwhile is read to its end.

        obstore would read 8 KB at a time, which takes ten times as much processor time.
        """
        if length == 0:
            return
        missing, size = length, CALLER_READ_SIZE if for_caller else READ_SIZE
        with translate_read_errors(name), ExitStack() as opened:
            file = await shielded(asyncio.to_thread(_open, self.local_path(name), opened))
            while missing is None or missing:
                wanted = size if missing is None else min(size, missing)
                piece = await shielded(asyncio.to_thread(os.pread, file, wanted, offset))
                if not piece:
                    break
                offset, missing = offset + len(piece), None if missing is None else missing - len(piece)
                yield piece
        if missing:
            raise DamagedBlob(f"{name}: {missing} bytes are missing")

    async def delete(self, name: str) -> None:
        """Delete a blob and the staged files of a writer that died; it is no error if the blob does not exist."""
        with translate_errors(name):
            with suppress(FileNotFoundError):
                await obstore.delete_async(self._store, name)
            await asyncio.to_thread(_remove_staged, self.local_path(name))

    def local_path(self, name: str) -> Path:
        """Return the path of the blob's file."""
        return self._folder / name


class FolderWriter(ObjectStoreWriter):
    """Writes one file."""

    def __init__(self, store: obstore.store.ObjectStore, name: str, folder: Path) -> None:
        super().__init__(store, name, part_size=WRITE_BUFFER, max_concurrent_parts=MAX_CONCURRENT_WRITES)
        self._path = folder / name
        self._folder = folder

    async def _commit(self, file: obstore.AsyncWritableFile) -> None:
        await super()._commit(file)
        with translate_errors(self._name):
            await asyncio.to_thread(_sync, self._path, self._folder)

    async def _discard(self, _file: obstore.AsyncWritableFile) -> None:
        """Do nothing: obstore deletes its staged file when the writer is dropped."""


def _open(path: Path, opened: ExitStack) -> int:
    """Return the descriptor of a file to read; ``opened`` closes it."""
    descriptor = os.open(path, os.O_RDONLY)
    opened.callback(os.close, descriptor)
    return descriptor


def _remove_staged(path: Path) -> None:
    """Delete the files that obstore staged for a blob as ``name#1``, and the folder if it is empty."""
    with suppress(FileNotFoundError):  # a delete of another blob of the folder may have removed it
        for staged in path.parent.glob(f"{glob.escape(path.name)}#*"):
            staged.unlink(missing_ok=True)
    with suppress(OSError):
        path.parent.rmdir()


def _sync(path: Path, folder: Path) -> None:
    """Sync a file and its parent folders, up to the root folder of the store."""
    for entry in (path, *path.parents[: len(path.relative_to(folder).parts)]):
        descriptor = os.open(entry, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
