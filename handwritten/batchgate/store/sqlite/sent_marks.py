"""Marks for the requests of claimed shards that were sent: one byte each, in a file beside the SQLite database.

A mark is set before each call, so it must cost next to nothing: it is one small write into the page cache, without a
transaction or a sync. It survives a crash of the process; a power failure may lose the marks of the last seconds. Marks
only count redelivered requests; nothing depends on them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from struct import Struct
from typing import Final, TypeAlias

ShardKey: TypeAlias = tuple[int, int]
"""Batch key and shard index."""

_HEADER: Final = Struct("<QQ")
_MARKS_PER_SHARD: Final = 512
"""Requests of one shard that can be marked; later requests are not marked."""
_SLOT: Final = _HEADER.size + _MARKS_PER_SHARD
_FREE_SLOT: Final = bytes(_SLOT)
_MARK_BYTES: Final = {True: b"\1", False: b"\0"}


class SentMarks:
    """The marks of all claimed shards, one file slot per shard; used from one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None
        self._slots: dict[ShardKey, int] = {}
        self._free_slots: list[int] = []

    def open(self, open_shards: Iterable[ShardKey]) -> None:
        """Open the file, keep the marks of the shards that are not done, and free all other slots."""
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        unfinished, content = set(open_shards), self._path.read_bytes()
        for start in range(0, len(content) - _SLOT + 1, _SLOT):
            batch_key, shard = _HEADER.unpack_from(content, start)
            shard_key = (batch_key, shard)
            if shard_key in unfinished and shard_key not in self._slots:
                self._slots[shard_key] = start
            else:
                self._write(start, _FREE_SLOT)
                self._free_slots.append(start)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def load(self, shard_key: ShardKey) -> list[int]:
        """Start the marks of a claimed shard; return the marked requests, counted from 0 within the shard."""
        start = self._slots.get(shard_key)
        if start is None:
            self._slots[shard_key] = start = self._free_slots.pop() if self._free_slots else len(self._slots) * _SLOT
            self._write(start, _HEADER.pack(*shard_key) + bytes(_MARKS_PER_SHARD))
            return []
        assert self._file is not None
        marks = os.pread(self._file, _MARKS_PER_SHARD, start + _HEADER.size)
        return [number for number, mark in enumerate(marks) if mark]

    def mark(self, shard_key: ShardKey, number: int, *, sent: bool) -> None:
        """Set or clear the mark of one request."""
        start = self._slots.get(shard_key)
        if start is not None and number < _MARKS_PER_SHARD:
            self._write(start + _HEADER.size + number, _MARK_BYTES[sent])

    def drop(self, shard_key: ShardKey) -> None:
        """Free the slot of a shard that is done."""
        start = self._slots.pop(shard_key, None)
        if start is not None:
            self._write(start, _FREE_SLOT)
            self._free_slots.append(start)

    def _write(self, start: int, data: bytes) -> None:
        # On a full disk marks are lost and counts inexact; the gateway continues.
        with suppress(OSError):
            if self._file is not None:
                os.pwrite(self._file, data, start)


def read_mark_bits(path: Path) -> Iterator[tuple[ShardKey, bytes]]:
    """Read the marks of all shards from the file of a stopped gateway, one bit per request."""
    content = path.read_bytes() if path.exists() else b""
    for start in range(0, len(content) - _SLOT + 1, _SLOT):
        marks = content[start + _HEADER.size : start + _SLOT]
        if any(marks):
            batch_key, shard = _HEADER.unpack_from(content, start)
            yield (batch_key, shard), _pack_bits(marks)


def write_mark_bits(path: Path, marks: Iterable[tuple[object, ...]]) -> None:
    """Write a new file from the marks of shards: batch key, shard index and bits each."""
    with path.open("wb") as file:
        for batch_key, shard, bits in marks:
            assert isinstance(bits, bytes)
            sent = bytes(
                bits[number >> 3] >> (number & 7) & 1 for number in range(min(8 * len(bits), _MARKS_PER_SHARD))
            )
            file.write(_HEADER.pack(batch_key, shard) + sent.ljust(_MARKS_PER_SHARD, b"\0"))


def _pack_bits(marks: bytes) -> bytes:
    bits = bytearray(_MARKS_PER_SHARD // 8)
    for number, mark in enumerate(marks):
        bits[number >> 3] |= bool(mark) << (number & 7)
    return bytes(bits)
