"""Intake: turns the body of a create into an input file and its shards, as the bytes arrive.

Nothing is held but a window of the body; what is refused leaves neither a file nor a row.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable
from typing import Protocol

from msgspec import Struct

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


class Input(Struct, frozen=True):
    """A body that was taken in whole: how its input file is cut, and a hash of what is in it."""

    shards: tuple[Shard, ...]
    digest: bytes


class _Intake:
    """Passes one body from its reader to its file; the work of each step may run in a thread."""

    def __init__(self, reader: BodyReader) -> None:
        self._reader = reader
        self._cutter = ShardCutter()
        self._hash = hashlib.blake2b(digest_size=16)

    def feed(self, data: bytes) -> bytes:
        return self._pass(self._reader.feed(data))

    def finish(self) -> bytes:
        return self._pass(self._reader.finish())

    def result(self) -> Input:
        return Input(self._cutter.finish(), self._hash.digest())

    def _pass(self, lines: list[bytes]) -> bytes:
        joined = b"".join(lines)
        self._cutter.add(lines)
        self._hash.update(joined)
        return joined


async def take_in(body: AsyncIterator[bytes], reader: BodyReader, writer: BlobWriter) -> Input:
    """Write the input file of a batch and say what is in it; after an error the file does not exist."""
    intake = _Intake(reader)
    try:
        async for data in body:
            lines = await asyncio.to_thread(intake.feed, data) if len(data) >= THREAD_FROM else intake.feed(data)
            if lines:
                await writer.write(lines)
        await writer.write(await asyncio.to_thread(intake.finish))
        await writer.commit()
    except BaseException:
        await writer.abort()
        raise
    return intake.result()
