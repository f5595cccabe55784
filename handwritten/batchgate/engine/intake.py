"""Intake: turns the body of a create into an input file and its shards, as the bytes arrive.

Nothing is held but a window of the body; what is refused leaves neither a file nor a row.
"""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Protocol

from msgspec import Struct

from batchgate.engine.batch import SHARD_BYTES, SHARD_REQUESTS, Shard
from batchgate.engine.ports import BlobWriter
from batchgate.engine.write_behind import THREAD_FROM, WriteBehind


class BodyReader(Protocol):
    """Reads a body in one wire format, piece by piece; raises `RefusedError` for what is wrong with it."""

    @property
    def expands(self) -> bool:
        """Whether a little of the body may hold very much, as when it is compressed."""
        ...

    def feed(self, data: bytes) -> Iterator[list[bytes]]:
        """Take the next bytes and yield the input lines, LF included, that are complete and valid.

        They come a few at a time, since a little of a compressed body may hold very many.
        """
        ...

    def finish(self) -> list[bytes]:
        """Take the end of the body and return the last lines."""
        ...


class ShardCutter:
    """Cuts input lines, as they pass, into shards of bounded length and size."""

    def __init__(self) -> None:
        self._shards: list[Shard] = []
        self._first_seq = self._requests = self._offset = self._length = self._checksum = 0

    def add(self, lines: Iterable[bytes]) -> None:
        """Count the next lines of the input file."""
        for line in lines:
            if self._requests == SHARD_REQUESTS or (self._requests and self._length + len(line) > SHARD_BYTES):
                self._cut()
            self._requests += 1
            self._length += len(line)
            self._checksum = zlib.crc32(line, self._checksum)

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
                checksum=self._checksum,
            )
        )
        self._first_seq += self._requests
        self._offset += self._length
        self._requests = self._length = self._checksum = 0


class Input(Struct, frozen=True):
    """A body that was taken in whole: how its input file is cut, and a hash of what is in it."""

    shards: tuple[Shard, ...]
    digest: bytes


async def take_in(body: AsyncIterator[bytes], reader: BodyReader, writer: BlobWriter) -> Input:
    """Write the input file of a batch and say what is in it; after an error the file does not exist."""
    cutter, behind = ShardCutter(), WriteBehind(writer, hashlib.blake2b(digest_size=16))
    try:
        async for data in body:
            parts = reader.feed(data)
            while (lines := await _next(parts, in_thread=reader.expands or len(data) >= THREAD_FROM)) is not None:
                cutter.add(lines)
                await behind.write(b"".join(lines))
        last = await asyncio.to_thread(reader.finish)
        cutter.add(last)
        await behind.write(b"".join(last))
        await behind.settle()
        await writer.commit()
    except BaseException:
        await behind.give_up()
        await writer.abort()
        raise
    return Input(cutter.finish(), behind.digest())


async def _next(parts: Iterator[list[bytes]], *, in_thread: bool) -> list[bytes] | None:
    return await asyncio.to_thread(next, parts, None) if in_thread else next(parts, None)
