"""Cuts the input of a batch into shards, and computes their checksums."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from msgspec import structs

from batchgate.engine.model.shard import SHARD_BYTES, SHARD_REQUESTS, Shard
from batchgate.engine.storage.hashing_writer import Hash


class ShardCutter:
    """Cuts a stream of input lines into shards of bounded count and size."""

    def __init__(self) -> None:
        self._first_seq = self._requests = self._offset = self._length = 0
        self.shards: list[Shard] = []
        """The shards so far, with 0 as their checksums."""

    def add(self, lines: Iterable[bytes]) -> None:
        """Add the next lines of the input."""
        for line in lines:
            if self._requests == SHARD_REQUESTS or (self._requests and self._length + len(line) > SHARD_BYTES):
                self.cut()
            self._requests += 1
            self._length += len(line)

    def cut(self) -> None:
        """End the present shard, if it has any lines."""
        if not self._requests:
            return
        self.shards.append(
            Shard(
                index=len(self.shards),
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
    """Computes the CRC-32 of each shard, in large pieces, during which the GIL is free.

    ``summary``, if given, gets all bytes as well, in the same thread.
    """

    def __init__(self, cutter: ShardCutter, summary: Hash | None) -> None:
        self._cutter = cutter
        self._summary = summary
        self._checksums: list[int] = []
        self._checksum = self._position = 0

    def update(self, data: bytes) -> None:
        """Hash the next bytes: whole lines that the cutter has already counted."""
        if self._summary is not None:
            self._summary.update(data)
        rest = memoryview(data)
        while (left := self._left_of_shard()) is not None and left <= len(rest):
            self._hash(rest[:left])
            rest = rest[left:]
            self._checksums.append(self._checksum)
            self._checksum = 0
        self._hash(rest)

    def shards(self) -> tuple[Shard, ...]:
        """Return all shards with their checksums, after the last cut and the last bytes."""
        self.update(b"")
        pairs = zip(self._cutter.shards, self._checksums, strict=True)
        return tuple(structs.replace(shard, checksum=checksum) for shard, checksum in pairs)

    def _left_of_shard(self) -> int | None:
        """Return the number of bytes up to the end of the present shard; None while it is not cut yet."""
        if len(self._checksums) == len(self._cutter.shards):
            return None
        shard = self._cutter.shards[len(self._checksums)]
        return shard.offset + shard.length - self._position

    def _hash(self, data: memoryview) -> None:
        self._checksum = zlib.crc32(data, self._checksum)
        self._position += len(data)
