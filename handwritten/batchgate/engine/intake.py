"""Intake: turns the body of a create into an input file and its shards, as the bytes arrive.

Nothing is held but a window of the body; what is refused leaves neither a file nor a row.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Protocol

from batchgate.engine.batch import SHARD_BYTES, SHARD_REQUESTS, Shard
from batchgate.engine.ports import BlobWriter

THREAD_FROM = 16 * 1024
"""Bytes of one piece above which its parsing leaves the event loop for a thread."""


class BodyReader(Protocol):
    """Reads a body in one wire format, piece by piece; raises `RefusedError` for what is wrong with it."""

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes and return the input lines, LF included, that are complete and valid."""
        ...

    def finish(self) -> list[bytes]:
        """Take the end of the body and return the last lines."""
        ...


class ShardCutter:
    """Cuts input lines, as they pass, into shards of bounded length and size."""

    def __init__(self) -> None:
        self._shards: list[Shard] = []
        self._first_seq = self._requests = self._offset = self._length = 0

    def add(self, lines: Iterable[bytes]) -> None:
        """Count the next lines of the input file."""
        for line in lines:
            if self._requests == SHARD_REQUESTS or (self._requests and self._length + len(line) > SHARD_BYTES):
                self._cut()
            self._requests += 1
            self._length += len(line)

    def finish(self) -> tuple[Shard, ...]:
        """Cut the last shard and return all."""
        if self._requests:
            self._cut()
        return tuple(self._shards)

    def _cut(self) -> None:
        self._shards.append(
            Shard(
                index=len(self._shards),
                first_seq=self._first_seq,
                requests=self._requests,
                offset=self._offset,
                length=self._length,
            )
        )
        self._first_seq += self._requests
        self._offset += self._length
        self._requests = self._length = 0


async def take_in(body: AsyncIterator[bytes], reader: BodyReader, writer: BlobWriter) -> tuple[Shard, ...]:
    """Write the input file of a batch and say how it is cut; after an error the file does not exist."""
    cutter = ShardCutter()
    try:
        async for data in body:
            lines = await asyncio.to_thread(reader.feed, data) if len(data) >= THREAD_FROM else reader.feed(data)
            await _append(lines, cutter, writer)
        await _append(await asyncio.to_thread(reader.finish), cutter, writer)
        await writer.commit()
    except BaseException:
        await writer.abort()
        raise
    return cutter.finish()


async def _append(lines: list[bytes], cutter: ShardCutter, writer: BlobWriter) -> None:
    if lines:
        cutter.add(lines)
        await writer.write(b"".join(lines))
