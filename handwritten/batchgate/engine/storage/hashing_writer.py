"""Writes a blob in the background while its next bytes are produced, and hashes it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final, Protocol, TypeVar

from batchgate.engine.ports.blobs import BlobWriter

THREAD_THRESHOLD: Final = 16 * 1024
"""Bytes of a piece from which on it is hashed or parsed in a thread instead of the event loop."""

Piece = TypeVar("Piece")


class Hash(Protocol):
    """An incremental hash, such as those of hashlib."""

    def update(self, data: bytes, /) -> None:
        """Hash the next bytes."""
        ...


class HashingWriter:
    """Writes and hashes one piece of a blob while the caller produces the next one."""

    def __init__(self, writer: BlobWriter, content_hash: Hash) -> None:
        self._writer = writer
        self._hash = content_hash
        self._pending: asyncio.Task[None] | None = None

    async def write(self, data: bytes) -> None:
        """Wait for the previous piece, then start to write this one; raises the error of the previous piece."""
        await self.flush()
        self._pending = asyncio.create_task(self._store(data))
        await asyncio.sleep(0)  # so that it starts before a thread that makes the next piece takes the GIL

    async def flush(self) -> None:
        """Wait until all pieces are written; raises the error of the last one."""
        if self._pending is not None:
            await self._pending
            self._pending = None

    async def cancel(self) -> None:
        """Cancel the write in progress, and ignore its outcome."""
        if self._pending is not None:
            self._pending.cancel()
            await asyncio.gather(self._pending, return_exceptions=True)

    async def _store(self, data: bytes) -> None:
        if len(data) < THREAD_THRESHOLD:
            self._hash.update(data)
            await self._writer.write(data)
        else:
            hashed = asyncio.get_running_loop().run_in_executor(None, self._hash.update, data)
            try:
                await self._writer.write(data)
            finally:
                await hashed


async def all_pieces(pieces: Iterator[Piece], *, in_thread: bool) -> list[Piece]:
    """Return all items of a reader's output, computed in a thread if that takes long."""
    return await asyncio.to_thread(list, pieces) if in_thread else list(pieces)


async def next_piece(pieces: Iterator[Piece], *, in_thread: bool) -> Piece | None:
    """Return the next item of a reader's output, computed in a thread if that takes long; None at the end."""
    return await asyncio.to_thread(next, pieces, None) if in_thread else next(pieces, None)
