"""Reads the result lines of one shard in the order of their requests, a bounded number of bytes at a time.

Chunks are in the order in which answers came. So their line ends are searched first, which needs no memory for the
lines themselves, and then the lines are read window by window.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

from batchgate.engine.model.shard import ChunkEntry, ChunkSlice
from batchgate.engine.ports.shard_store import ShardStore

WINDOW: Final = 64 * 1024
"""Bytes that are yielded at a time, and held while a caller does not read."""
SCAN: Final = 1024 * 1024
"""Bytes in which line ends are searched at a time."""
MAX_GAP: Final = 16 * 1024
"""Bytes between two parts of a chunk up to which they are read as one."""


class ChunksDropped(Exception):
    """The chunks of the shard were dropped meanwhile, since its batch was finalized."""


class ResultsWindow(Struct, frozen=True):
    """The next bytes of the results of a shard."""

    seq: int
    """The request whose line they begin in."""
    offset: int
    """The bytes of this line that came before."""
    slices: Sequence[ChunkSlice]


class ShardLines:
    """The results that a shard had when its chunks were listed."""

    def __init__(self, store: ShardStore, batch_key: int, shard: int) -> None:
        self._store = store
        self._batch_key = batch_key
        self._shard = shard

    async def locate(self) -> Iterator[ResultsWindow]:
        """Find all lines, and return them as windows in the order of their requests; raises `ChunksDropped`."""
        return _windows(await self._lines())

    async def index(self) -> ShardIndex:
        """Find all lines, so that those of some requests can be read; raises `ChunksDropped`."""
        return ShardIndex(self, dict(await self._lines()))

    async def read(self, window: ResultsWindow) -> bytes:
        """Read the bytes of a window; raises `ChunksDropped`."""
        return b"".join(await self.read_slices(window.slices))

    async def read_slices(self, slices: Sequence[ChunkSlice]) -> Sequence[bytes]:
        """Read parts of chunks, in this order; raises `ChunksDropped`."""
        spans = _joined(slices)
        parts = dict(zip(spans, await self._read(spans), strict=True))
        by_chunk: dict[int, list[ChunkSlice]] = {}
        for span in spans:
            by_chunk.setdefault(span.chunk, []).append(span)

        def cut(part: ChunkSlice) -> bytes:
            span = next(each for each in reversed(by_chunk[part.chunk]) if each.start <= part.start)
            start = part.start - span.start
            return parts[span][start : start + part.length]

        return list(map(cut, slices))

    async def _lines(self) -> Iterator[tuple[int, ChunkSlice]]:
        """Return each line by its request, in their order."""
        entries = await self._store.list_chunks(self._batch_key, self._shard)
        ends = {entry.id: array("q") for entry in entries}
        for parts in _scans(entries):
            for part, data in zip(parts, await self._read(parts), strict=True):
                ends[part.chunk].extend(_line_ends(data, part.start))
        found = sorted(line for entry in entries for line in _lines(entry, ends[entry.id]))
        # Packed, since it is held while a caller does not read.
        packed = array("q", (number for line in found for number in line))
        del found, ends, entries
        return (
            (packed[place], ChunkSlice(packed[place + 1], packed[place + 2], packed[place + 3]))
            for place in range(0, len(packed), 4)
        )

    async def _read(self, slices: Sequence[ChunkSlice]) -> Sequence[bytes]:
        found = await self._store.read_slices(self._batch_key, self._shard, slices)
        if len(found) < len(slices):
            raise ChunksDropped
        return found


class ShardIndex:
    """Where the results of a shard are."""

    def __init__(self, lines: ShardLines, slices: Mapping[int, ChunkSlice]) -> None:
        self._lines = lines
        self._slices = slices

    def fitting(self, seqs: range, size: int) -> range:
        """Return the first of some requests, whose lines have so many bytes together; at least one."""
        for seq in seqs:
            size -= self._slices[seq].length if seq in self._slices else 0
            if size <= 0:
                return range(seqs.start, seq + 1)
        return seqs

    async def read(self, seqs: Iterable[int]) -> dict[int, bytes]:
        """Read the lines of requests, as far as they have results, by request; raises `ChunksDropped`."""
        found = {seq: self._slices[seq] for seq in seqs if seq in self._slices}
        return dict(zip(found, await self._lines.read_slices(list(found.values())), strict=True)) if found else {}


def _scans(entries: Iterable[ChunkEntry]) -> Iterator[Sequence[ChunkSlice]]:
    """Cut the chunks into groups of parts; a group has at most `SCAN` bytes."""
    group: list[ChunkSlice] = []
    left = SCAN
    for entry in entries:
        start = 0
        while start < entry.size:
            length = min(left, entry.size - start)
            group.append(ChunkSlice(entry.id, start, length))
            start, left = start + length, left - length
            if not left:
                yield group
                group, left = [], SCAN
    if group:
        yield group


def _line_ends(data: bytes, offset: int) -> Iterator[int]:
    end = data.find(b"\n")
    while end >= 0:
        yield offset + end + 1
        end = data.find(b"\n", end + 1)


def _lines(entry: ChunkEntry, ends: Sequence[int]) -> Iterator[tuple[int, int, int, int]]:
    """Yield the request, the chunk, the first byte and the length of each line of a chunk."""
    start = 0
    for seq, end in zip(entry.seqs, ends, strict=True):
        yield seq, entry.id, start, end - start
        start = end


def _windows(lines: Iterable[tuple[int, ChunkSlice]]) -> Iterator[ResultsWindow]:
    """Cut lines into windows of `WINDOW` bytes; the last one may have fewer."""
    slices: list[ChunkSlice] = []
    left, seq, offset = WINDOW, 0, 0
    for number, line in lines:
        passed = 0
        while passed < line.length:
            if not slices:
                seq, offset = number, passed
            length = min(left, line.length - passed)
            slices.append(ChunkSlice(line.chunk, line.start + passed, length))
            passed, left = passed + length, left - length
            if not left:
                yield ResultsWindow(seq, offset, slices)
                slices, left = [], WINDOW
    if slices:
        yield ResultsWindow(seq, offset, slices)


def _joined(slices: Iterable[ChunkSlice]) -> list[ChunkSlice]:
    """Join slices of the same chunk that are near each other: each read of a chunk may cost as much as all of it."""
    spans: list[ChunkSlice] = []
    for part in sorted(slices):
        last = spans[-1] if spans else None
        if last is not None and last.chunk == part.chunk and part.start <= last.start + last.length + MAX_GAP:
            end = max(last.start + last.length, part.start + part.length)
            spans[-1] = ChunkSlice(last.chunk, last.start, end - last.start)
        else:
            spans.append(part)
    return spans
