"""Which requests of claimed shards were sent: a bit each, written behind the back of whoever sends.

A mark has to be set before each call, so it must cost next to nothing: it is set in memory, and all that changed is
written at most every 100 ms, in one statement that no disk is waited for. A crash of this process loses the marks of
its last 100 ms, one of the server those of its last second or so. They serve to count what is asked again, and nothing
is decided by them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeAlias

from batchgate.engine.model.errors import StoreError

Place: TypeAlias = tuple[int, int]
"""The key of a batch, and the index of a shard."""

REST: Final = 0.1  # seconds between two writes


@dataclass
class _Marks:
    """The marks of one claimed shard."""

    epoch: int
    bits: bytearray
    let_go: bool = False
    """Whether the shard has been let go, so that nothing will be added."""


class SentMarks:
    """The marks of the shards that this process holds."""

    def __init__(self, write: Callable[[Mapping[str, Sequence[object]]], Awaitable[None]]) -> None:
        self._write = write
        self._marks: dict[Place, _Marks] = {}
        self._changed: set[Place] = set()
        self._being_written: dict[Place, _Marks] = {}
        self._some = asyncio.Event()

    def take(self, place: Place, epoch: int, requests: int, stored: bytes) -> list[int]:
        """Make room for the marks of a shard, and tell which of its requests have one already, counted from 0."""
        bits = bytearray(stored.ljust((requests + 7) // 8, b"\0"))
        earlier = self._marks.get(place) or self._being_written.get(place)
        if earlier is not None and earlier.epoch == epoch - 1:
            bits[:] = earlier.bits  # nobody else had it since, and what is stored may be behind
        self._marks[place] = _Marks(epoch, bits)
        return [number for number in range(requests) if bits[number >> 3] >> (number & 7) & 1]

    def mark(self, place: Place, epoch: int, number: int, *, sent: bool) -> None:
        """Set or take away the mark of one request."""
        marks = self._marks.get(place)
        if marks is None or marks.epoch != epoch:
            return
        if sent:
            marks.bits[number >> 3] |= 1 << (number & 7)
        else:
            marks.bits[number >> 3] &= ~(1 << (number & 7))
        self._changed.add(place)
        self._some.set()

    def let_go(self, place: Place, epoch: int) -> None:
        """Forget the marks of a shard as soon as they are written."""
        marks = self._marks.get(place)
        if marks is not None and marks.epoch == epoch:
            marks.let_go = True
            if place not in self._changed:
                del self._marks[place]

    def drop(self, place: Place, epoch: int) -> None:
        """Forget the marks of a shard that is done, or lost."""
        marks = self._marks.get(place)
        if marks is not None and marks.epoch == epoch:
            del self._marks[place]
            self._changed.discard(place)

    async def run(self) -> None:
        """Write what changes until cancelled."""
        while True:
            await self._some.wait()
            # A server that is away costs marks, and with them an exact count; who flushes results reports it.
            with suppress(StoreError):
                await self.flush()
            await asyncio.sleep(REST)

    async def flush(self) -> None:
        """Write what has changed."""
        self._some.clear()
        changed, self._changed = sorted(self._changed), set()
        if not changed:
            return
        marks = [self._marks[place] for place in changed]
        self._being_written = dict(zip(changed, marks, strict=True))
        try:
            await self._write(
                {
                    "batch_keys": [batch_key for batch_key, _ in changed],
                    "shards": [shard for _, shard in changed],
                    "epochs": [one.epoch for one in marks],
                    "bits": [bytes(one.bits) for one in marks],
                }
            )
        except StoreError:
            self._changed.update(place for place in changed if place in self._marks)
            self._some.set()
            raise
        finally:
            self._being_written = {}
        for place, one in zip(changed, marks, strict=True):
            if one.let_go and place not in self._changed and self._marks.get(place) is one:
                del self._marks[place]
