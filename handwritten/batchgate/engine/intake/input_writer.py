"""Intake: turns the body of a create into an input file and its shards, as the bytes arrive.

Nothing is held but a window of the body; what is refused leaves neither a file nor a row.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Final

from msgspec import structs

from batchgate.engine.model.shard import SHARD_BYTES, SHARD_REQUESTS, Shard
from batchgate.engine.ports.blobs import BlobWriter
from batchgate.engine.ports.body_readers import BodyReader
from batchgate.engine.storage.hashing_writer import THREAD_THRESHOLD, HashingWriter, next_piece

PIECE_SIZE = 1024 * 1024
"""Bytes of a body that are read at once, if it has so many."""
MAX_PREFIXES = 1_000
"""How many different prefixes of models are gathered: names of accounts are fewer."""

_MODEL_KEY: Final = b'"model"'
_PREFIX: Final = re.compile(rb'"model"[ \t]*:[ \t]*"([^"\\/]+)\\?/')


class ShardCutter:
    """Cuts input lines, as they pass, into shards of bounded length and size."""

    def __init__(self) -> None:
        self._first_seq = self._requests = self._offset = self._length = 0
        self.cuts: list[Shard] = []
        """The shards so far, without their checksums."""

    def add(self, lines: Iterable[bytes]) -> None:
        """Count the next lines of the input file."""
        for line in lines:
            if self._requests == SHARD_REQUESTS or (self._requests and self._length + len(line) > SHARD_BYTES):
                self.cut()
            self._requests += 1
            self._length += len(line)

    def cut(self) -> None:
        """End a shard here, if there is anything in it."""
        if not self._requests:
            return
        self.cuts.append(
            Shard(
                index=len(self.cuts),
                first_seq=self._first_seq,
                requests=self._requests,
                offset=self._offset,
                length=self._length,
                checksum=0,
            )
        )
        self._first_seq += self._requests
        self._offset += self._length
        self._requests = self._length = 0


class ShardChecksums:
    """Hashes each shard of an input file, as far as they are cut; in large pieces, which free the GIL.

    ``summary``, if there is one, passes all bytes too, which happens off the event loop.
    """

    def __init__(self, cutter: ShardCutter, summary: InputSummary | None) -> None:
        self._cutter = cutter
        self._summary = summary
        self._checksums: list[int] = []
        self._checksum = self._position = 0

    def update(self, data: bytes) -> None:
        """Take the next bytes, whole lines that the cutter has seen."""
        if self._summary is not None:
            self._summary.update(data)
        rest = memoryview(data)
        while (left := self._left_of_shard()) is not None and left <= len(rest):
            self._take(rest[:left])
            rest = rest[left:]
            self._checksums.append(self._checksum)
            self._checksum = 0
        self._take(rest)

    def shards(self) -> tuple[Shard, ...]:
        """Return all shards, once the last one is cut and all bytes have come."""
        self.update(b"")
        pairs = zip(self._cutter.cuts, self._checksums, strict=True)
        return tuple(structs.replace(shard, checksum=checksum) for shard, checksum in pairs)

    def _left_of_shard(self) -> int | None:
        """Tell how many bytes there are up to the next cut; None while nobody knows."""
        if len(self._checksums) == len(self._cutter.cuts):
            return None
        shard = self._cutter.cuts[len(self._checksums)]
        return shard.offset + shard.length - self._position

    def _take(self, data: memoryview) -> None:
        self._checksum = zlib.crc32(data, self._checksum)
        self._position += len(data)


class InputSummary:
    """A hash of a whole input file, by which it is known again, and what stands before a slash in its models.

    For models, lines are searched and not parsed, which would cost more than all else that intake does with them: what
    another object of a request calls its model is found as well.
    """

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self.model_prefixes: set[str] = set()
        """Names of accounts, or parts of the models' own names."""

    def update(self, lines: bytes) -> None:
        """Take the next lines."""
        self._hash.update(lines)
        place = lines.find(_MODEL_KEY)
        while place >= 0 and len(self.model_prefixes) < MAX_PREFIXES:
            if match := _PREFIX.match(lines, place):
                self.model_prefixes.add(match[1].decode(errors="replace"))
            place = lines.find(_MODEL_KEY, place + len(_MODEL_KEY))

    def digest(self) -> bytes:
        """Hash all lines so far."""
        return self._hash.digest()


async def write_input(
    body: AsyncIterator[bytes], reader: BodyReader, writer: BlobWriter, summary: InputSummary | None = None
) -> tuple[Shard, ...]:
    """Write the input file of a batch and say how it is cut; after an error the file does not exist."""
    cutter = ShardCutter()
    input_hash = ShardChecksums(cutter, summary)
    behind = HashingWriter(writer, input_hash)
    try:
        async for data in _gathered(body):
            parts = _cut(reader.feed(data), cutter)
            while (
                part := await next_piece(parts, in_thread=reader.is_compressed or len(data) >= THREAD_THRESHOLD)
            ) is not None:
                await behind.write(part)
        last = await asyncio.to_thread(reader.finish)
        cutter.add(last)
        cutter.cut()
        await behind.write(b"".join(last))
        await behind.flush()
        await writer.commit()
    except BaseException:
        await behind.cancel()
        await writer.abort()
        raise
    return input_hash.shards()


def _cut(parts: Iterator[list[bytes]], cutter: ShardCutter) -> Iterator[bytes]:
    """Cut lines into shards as they pass, and yield them in one piece."""
    for lines in parts:
        cutter.add(lines)
        yield b"".join(lines)


async def _gathered(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield larger pieces, so that there are fewer changes of thread."""
    pieces: list[bytes] = []
    size = 0
    async for data in body:
        pieces.append(data)
        size += len(data)
        if size >= PIECE_SIZE:
            yield b"".join(pieces)
            pieces, size = [], 0
    if pieces:
        yield b"".join(pieces)
