"""Marks for the requests of claimed shards that were sent: one bit each, written to PostgreSQL in the background.

A mark is set before each call, so it must cost next to nothing: it is set in memory, and all changes are written at
most every 100 ms, in one statement without waiting for the disk. A crash of this process loses the marks of its last
100 ms, a crash of the server those of about its last second. Marks only count redelivered requests; nothing depends on
them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeAlias

from batchgate.engine.model.errors import StoreError

ShardKey: TypeAlias = tuple[int, int]
"""Batch key and shard index."""

WRITE_INTERVAL: Final = 0.1  # seconds


@dataclass
class _ShardMarks:
    """The marks of one claimed shard."""

    epoch: int
    bits: bytearray
    release: bool = False
    """True once the shard is released: no mark will be added."""


class SentMarks:
    """The marks of the shards that this process has claimed."""

    def __init__(self, write: Callable[[Mapping[str, Sequence[object]]], Awaitable[None]]) -> None:
        self._write = write
        self._marks: dict[ShardKey, _ShardMarks] = {}
        self._changed: set[ShardKey] = set()
        self._writing: dict[ShardKey, _ShardMarks] = {}
        self._has_changes = asyncio.Event()

    def load(self, shard_key: ShardKey, epoch: int, requests: int, stored: bytes) -> list[int]:
        """Start the marks of a claimed shard; return the marked requests, counted from 0 within the shard."""
        bits = bytearray(stored.ljust((requests + 7) // 8, b"\0"))
        earlier = self._marks.get(shard_key) or self._writing.get(shard_key)
        if earlier is not None and earlier.epoch == epoch - 1:
            bits[:] = earlier.bits  # no other process had the shard since, and the stored marks may be older
        self._marks[shard_key] = _ShardMarks(epoch, bits)
        return [number for number in range(requests) if bits[number >> 3] >> (number & 7) & 1]

    def mark(self, shard_key: ShardKey, epoch: int, number: int, *, sent: bool) -> None:
        """Set or clear the mark of one request."""
        marks = self._marks.get(shard_key)
        if marks is None or marks.epoch != epoch:
            return
        if sent:
            marks.bits[number >> 3] |= 1 << (number & 7)
        else:
            marks.bits[number >> 3] &= ~(1 << (number & 7))
        self._changed.add(shard_key)
        self._has_changes.set()

    def release(self, shard_key: ShardKey, epoch: int) -> None:
        """Drop the marks of a released shard once they are written."""
        marks = self._marks.get(shard_key)
        if marks is not None and marks.epoch == epoch:
            marks.release = True
            if shard_key not in self._changed:
                del self._marks[shard_key]

    def drop(self, shard_key: ShardKey, epoch: int) -> None:
        """Drop the marks of a shard that is done, or that this process has lost."""
        marks = self._marks.get(shard_key)
        if marks is not None and marks.epoch == epoch:
            del self._marks[shard_key]
            self._changed.discard(shard_key)

    async def run(self) -> None:
        """Write changes in the background, until cancelled."""
        while True:
            await self._has_changes.wait()
            # Without a server, marks are late and counts inexact; the flush of results reports the outage.
            with suppress(StoreError):
                await self.flush()
            await asyncio.sleep(WRITE_INTERVAL)

    async def flush(self) -> None:
        """Write all changed marks."""
        self._has_changes.clear()
        changed, self._changed = sorted(self._changed), set()
        if not changed:
            return
        marks = [self._marks[shard_key] for shard_key in changed]
        self._writing = dict(zip(changed, marks, strict=True))
        try:
            await self._write(
                {
                    "batch_keys": [batch_key for batch_key, _ in changed],
                    "shards": [shard for _, shard in changed],
                    "epochs": [mark_set.epoch for mark_set in marks],
                    "bits": [bytes(mark_set.bits) for mark_set in marks],
                }
            )
        except StoreError:
            self._changed.update(shard_key for shard_key in changed if shard_key in self._marks)
            self._has_changes.set()
            raise
        finally:
            self._writing = {}
        for shard_key, mark_set in zip(changed, marks, strict=True):
            if mark_set.release and shard_key not in self._changed and self._marks.get(shard_key) is mark_set:
                del self._marks[shard_key]
