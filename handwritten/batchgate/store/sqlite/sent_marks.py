"""Which requests of claimed shards were sent: a byte each, in a file beside the database.

A mark has to be set before each call, so it must cost next to nothing: it is one small write into the page cache,
without a transaction and without a sync. It outlives the process that set it, killed or not; a power failure of the
machine may take the marks of the last seconds. They serve to count what is asked again, and nothing is decided by them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from struct import Struct
from typing import Final, TypeAlias

Place: TypeAlias = tuple[int, int]
"""The key of a batch, and the index of a shard."""

_HEAD: Final = Struct("<QQ")
_WIDTH: Final = 512
"""Requests of one shard that have a mark; a later one has none."""
_SLOT: Final = _HEAD.size + _WIDTH
_FREE: Final = bytes(_SLOT)
_MARK: Final = {True: b"\1", False: b"\0"}


class SentMarks:
    """The marks of all claimed shards; used from one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None
        self._slots: dict[Place, int] = {}
        self._free: list[int] = []

    def open(self, open_shards: Iterable[Place]) -> None:
        """Take up what an earlier process left, as far as its shards are not done."""
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        wanted, content = set(open_shards), self._path.read_bytes()
        for start in range(0, len(content) - _SLOT + 1, _SLOT):
            batch_key, shard = _HEAD.unpack_from(content, start)
            place = (batch_key, shard)
            if place in wanted and place not in self._slots:
                self._slots[place] = start
            else:
                self._write(start, _FREE)
                self._free.append(start)

    def close(self) -> None:
        """Close the file; it stays."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def take(self, place: Place) -> list[int]:
        """Make room for the marks of a shard, and tell which of its requests have one already, counted from 0."""
        start = self._slots.get(place)
        if start is None:
            self._slots[place] = start = self._free.pop() if self._free else len(self._slots) * _SLOT
            self._write(start, _HEAD.pack(*place) + bytes(_WIDTH))
            return []
        assert self._file is not None
        marks = os.pread(self._file, _WIDTH, start + _HEAD.size)
        return [number for number, mark in enumerate(marks) if mark]

    def mark(self, place: Place, number: int, *, sent: bool) -> None:
        """Set or take away the mark of one request."""
        start = self._slots.get(place)
        if start is not None and number < _WIDTH:
            self._write(start + _HEAD.size + number, _MARK[sent])

    def drop(self, place: Place) -> None:
        """Forget the marks of a shard that is done."""
        start = self._slots.pop(place, None)
        if start is not None:
            self._write(start, _FREE)
            self._free.append(start)

    def _write(self, start: int, data: bytes) -> None:
        # A full disk costs marks, and with them an exact count; it is no reason to stop.
        with suppress(OSError):
            if self._file is not None:
                os.pwrite(self._file, data, start)


def read_bits(path: Path) -> Iterator[tuple[Place, bytes]]:
    """Read the marks of all shards from the file of a gateway that stands still, a bit for each request."""
    content = path.read_bytes() if path.exists() else b""
    for start in range(0, len(content) - _SLOT + 1, _SLOT):
        marks = content[start + _HEAD.size : start + _SLOT]
        if any(marks):
            batch_key, shard = _HEAD.unpack_from(content, start)
            yield (batch_key, shard), _packed(marks)


def write_bits(path: Path, marks: Iterable[tuple[object, ...]]) -> None:
    """Write the marks of shards to a new file, each with the key of its batch, its index and its bits."""
    with path.open("wb") as file:
        for batch_key, shard, bits in marks:
            assert isinstance(bits, bytes)
            sent = bytes(bits[number >> 3] >> (number & 7) & 1 for number in range(min(8 * len(bits), _WIDTH)))
            file.write(_HEAD.pack(batch_key, shard) + sent.ljust(_WIDTH, b"\0"))


def _packed(marks: bytes) -> bytes:
    bits = bytearray(_WIDTH // 8)
    for number, mark in enumerate(marks):
        bits[number >> 3] |= bool(mark) << (number & 7)
    return bytes(bits)
