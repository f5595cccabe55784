"""How many requests a worker holds in memory, and for whom; shards that are too much wait outside until there is room.

Requests that wait for a gate, because it is slow, paused or dead, must not take the room of those that could go through
another one. So a gate may fill no more than a third of what the others leave free: the first has a third of all, the
next a third of the rest, and there is always something left (dynamic thresholds, as switches share their buffers:
Choudhury and Hahne, IEEE/ACM Transactions on Networking 6, 1998).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from heapq import heapify, heappop, heappush
from typing import Final, TypeAlias

from msgspec import Struct

from batchgate.engine.model.shard import ShardJob

LimiterKey: TypeAlias = tuple[str, str]
"""An account and a model, by their names."""

REQUESTS: Final = 8_000
"""Requests in memory, running or waiting for their turn: a few kilobytes each beside their input lines."""
BYTES: Final = 256 * 1024 * 1024
"""Bytes of their input lines: a few thousand requests with images would be gigabytes."""
SHARE: Final = 2
"""A gate holds no more than the free room divided by this."""


class Amount(Struct):
    """So many requests, and the bytes of their input lines."""

    requests: int = 0
    size: int = 0

    def add(self, requests: int, size: int) -> None:
        """Count more of them, or fewer."""
        self.requests += requests
        self.size += size


Demand: TypeAlias = Mapping[LimiterKey, Amount]
"""What of a shard is left for later, by gate."""


class _Line:
    """The shards that have requests for a gate and wait outside; some may have been let in by another gate since."""

    __slots__ = ("heap", "members")

    def __init__(self) -> None:
        self.heap: list[tuple[bool, ShardJob]] = []
        self.members: set[ShardJob] = set()

    def add(self, job: ShardJob, urgent: AbstractSet[int]) -> None:
        if job not in self.members:
            self.members.add(job)
            heappush(self.heap, (job.batch_key not in urgent, job))

    def pop(self) -> None:
        self.members.remove(heappop(self.heap)[1])

    def sort(self, urgent: AbstractSet[int]) -> None:
        self.heap = [(job.batch_key not in urgent, job) for _, job in self.heap]
        heapify(self.heap)


class AdmissionBuffer:
    """Counts what is held; tells by ``resume`` which shards can be run on, room being kept for them until `expect`."""

    def __init__(self, resume: Callable[[Sequence[ShardJob]], None], *, requests: int = REQUESTS) -> None:
        self._resume = resume
        self._free = Amount(requests, BYTES)
        self._held: dict[LimiterKey, Amount] = {}
        self._outside: dict[ShardJob, Demand] = {}
        self._lines: dict[LimiterKey, _Line] = {}
        self._turn: deque[LimiterKey] = deque()
        """The gates with a line; the first was looked at last."""
        self._kept: dict[ShardJob, tuple[LimiterKey, Amount]] = {}
        self._arriving: set[ShardJob] = set()
        """Those that have been claimed and not looked into yet."""
        self._urgent: frozenset[int] = frozenset()
        self.nobody_waits = asyncio.Event()
        """Set while no shard waits for room, as far as is known."""
        self.nobody_waits.set()

    @property
    def outside(self) -> tuple[ShardJob, ...]:
        """The shards that wait outside."""
        return tuple(self._outside)

    def arrive(self, job: ShardJob) -> None:
        """Learn of a shard that will take its room, or wait for it, when it has been read."""
        self._arriving.add(job)
        self._note()

    def take(self, gate: LimiterKey, size: int) -> bool:
        """Hold a request of so many bytes, if its gate has room for it; there always is for one."""
        if gate in self._held and not self._fits(gate, 1, 0):
            return False
        self._count(gate, 1, size)
        return True

    def give(self, gate: LimiterKey, size: int) -> None:
        """Let go of a request, and look if a shard can be run on."""
        self._count(gate, -1, -size)
        if self._turn:
            self._turn.rotate()
            self._look(self._turn[0])
            self._look(gate)

    def expect(self, job: ShardJob) -> None:
        """Give the room that was kept for a shard to its requests, which take it at once; else `forget` it."""
        self._arriving.discard(job)
        if (kept := self._kept.pop(job, None)) is not None:
            gate, amount = kept
            self._count(gate, -amount.requests, -amount.size)
        self._note()

    def park(self, job: ShardJob, needs: Demand) -> None:
        """Let what is left of a shard wait outside until one of the gates that it needs has room."""
        self._outside[job] = needs
        for gate in needs:
            if gate not in self._lines:
                self._lines[gate] = _Line()
                self._turn.append(gate)
            self._lines[gate].add(job, self._urgent)
        for gate in needs:
            self._look(gate)
        self._note()

    def forget(self, job: ShardJob) -> None:
        """Let a shard wait no more, which is done, or somebody else's; what was kept for it is for others."""
        self._outside.pop(job, None)
        kept = self._kept.get(job)
        self.expect(job)
        if kept is not None:
            self._look(kept[0])

    def wake(self, batch_key: int) -> None:
        """Let the shards of a batch in at once: nothing more of it will be held."""
        woken = [job for job in self._outside if job.batch_key == batch_key]
        for job in woken:
            del self._outside[job]
        self._note()
        self._resume(woken)

    def expedite(self, batch_keys: Sequence[int]) -> None:
        """Let the shards of these batches in before all others."""
        urgent = frozenset(batch_keys)
        if urgent != self._urgent:
            self._urgent = urgent
            for line in self._lines.values():
                line.sort(urgent)

    def _look(self, gate: LimiterKey) -> None:
        """Resume the first shard of a gate if what it needs there fits, or if nothing of the gate is held."""
        job = self._first(gate)
        if job is None:
            return
        need = self._outside[job][gate]
        if gate not in self._held or self._fits(gate, need.requests, need.size):
            del self._outside[job]
            self._kept[job] = gate, need
            self._count(gate, need.requests, need.size)
            self._note()
            self._resume((job,))

    def _first(self, gate: LimiterKey) -> ShardJob | None:
        line = self._lines.get(gate)
        if line is None:
            return None
        while line.heap and gate not in self._outside.get(line.heap[0][1], ()):
            line.pop()
        if line.heap:
            return line.heap[0][1]
        del self._lines[gate]
        self._turn.remove(gate)
        return None

    def _fits(self, gate: LimiterKey, requests: int, size: int) -> bool:
        """Tell if the last of so many requests would still find room, as `take` sees it."""
        held, free = self._held.get(gate) or Amount(), self._free
        if SHARE * (held.size + size) > free.size - size:
            return False
        return SHARE * (held.requests + requests) <= free.requests - (requests - 1)

    def _count(self, gate: LimiterKey, requests: int, size: int) -> None:
        held = self._held.get(gate)
        if held is None:
            held = self._held[gate] = Amount()
        held.add(requests, size)
        self._free.add(-requests, -size)
        if not held.requests:
            del self._held[gate]

    def _note(self) -> None:
        if self._outside or self._arriving:
            self.nobody_waits.clear()
        else:
            self.nobody_waits.set()
