"""Writes a blob one step behind who produces its bytes, and hashes them on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final, Protocol, TypeVar

from batchgate.engine.ports.blobs import BlobWriter

THREAD_THRESHOLD: Final = 16 * 1024
"""Bytes of one piece above which work on it leaves the event loop for a thread."""


Piece = TypeVar("Piece")


class Hash(Protocol):
    """What bytes pass on their way, such as the hashes of hashlib."""

    def update(self, data: bytes, /) -> None:
        """Take the next bytes."""
        ...


class HashingWriter:
    """Writes and hashes a piece of a blob while the next one is being made; never more than one."""

    def __init__(self, writer: BlobWriter, content_hash: Hash) -> None:
        self._writer = writer
        self._hash = content_hash
        self._under_way: asyncio.Task[None] | None = None

    async def write(self, data: bytes) -> None:
        """Wait for the piece before, and begin with this one."""
        await self.flush()
        self._under_way = asyncio.create_task(self._store(data))

    async def flush(self) -> None:
        """Wait until all is written; raises what went wrong with it."""
        if self._under_way is not None:
            await self._under_way
            self._under_way = None

    async def cancel(self) -> None:
        """Stop writing, whatever becomes of it."""
        if self._under_way is not None:
            self._under_way.cancel()
            await asyncio.gather(self._under_way, return_exceptions=True)

    async def _store(self, data: bytes) -> None:
        if len(data) < THREAD_THRESHOLD:
            self._hash.update(data)
            await self._writer.write(data)
        else:
            await asyncio.gather(self._writer.write(data), asyncio.to_thread(self._hash.update, data))


async def next_piece(parts: Iterator[Piece], *, in_thread: bool) -> Piece | None:
    """Take the next of what a reader makes of the bytes it was fed, in a thread if that is work; None at the end."""
    return await asyncio.to_thread(next, parts, None) if in_thread else next(parts, None)
