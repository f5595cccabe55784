"""When a worker takes another shard, and what becomes of one that it has no room for.

A worker that is alone takes them all: whatever there is room for runs at once, however the models are mixed. One of
several that did so would keep from the others what they could run.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from batchgate.engine.dispatch.admission import REQUESTS, AdmissionBuffer
from batchgate.engine.model.shard import SHARD_REQUESTS, ShardJob
from batchgate.engine.ports.queue import Queue

ROOM_PER_CALL: Final = 4
"""The room of a worker is this many times the calls that may be under way to one model, if that is more than usual."""
ROUNDS: Final = 2
"""How many rounds of calls to one model a worker that shares holds beside one shard."""
GATE_SHARE: Final = 3
"""One gate alone has a third of the room."""
CURIOSITY: Final = 1.0  # seconds between two shards that are taken although others wait for room
NEXT_LOOK: Final = 0.1
"""Seconds until it is curious again when there was no room for the last one: many such may stand before another."""
FIRST_REST: Final = 2.0  # seconds that a shard rests of which nothing could be taken
LONGEST_REST: Final = 30.0
RESTS: Final = 10_000
"""Of how many shards it is remembered how long they rested: others may have run them since."""


class ClaimPolicy(Protocol):
    """How a worker takes shards."""

    def room(self, concurrency: int) -> int:
        """Tell how many requests are held, for so many calls at once to one model."""
        ...

    async def next_job(self, queue: Queue, room: AdmissionBuffer) -> ShardJob:
        """Wait until another shard may be taken, and take it."""
        ...

    def rest_of(self, job: ShardJob) -> float | None:
        """Tell for how long a shard rests elsewhere of which nothing could be taken; None if it waits here."""
        ...

    def taken(self, job: ShardJob) -> None:
        """Learn that something of a shard was taken, or that it is gone."""
        ...

    def passed_on(self) -> None:
        """Learn that a shard was given back at once, for others to take."""
        ...


class ClaimAll:
    """The `ClaimPolicy` of a worker that is alone: it takes whatever comes."""

    def room(self, concurrency: int) -> int:
        """Hold many, so that few are read twice."""
        return max(REQUESTS, ROOM_PER_CALL * concurrency)

    async def next_job(self, queue: Queue, room: AdmissionBuffer) -> ShardJob:  # noqa: ARG002 - others look at the room
        """Take the next one."""
        return await queue.dequeue()

    def rest_of(self, job: ShardJob) -> float | None:  # noqa: ARG002 - it is the same for all
        """Let it wait here: there is nobody else."""
        return None

    def taken(self, job: ShardJob) -> None:
        """Pass over it."""

    def passed_on(self) -> None:
        """Pass over it."""


class FairClaim:
    """The `ClaimPolicy` of one worker among several.

    It is hungry while nothing that it holds waits for room. When something does it is still curious, but only now and
    then: so a slow model never blocks a fast one, whose shards may wait outside. What it has no room for at all goes
    back, and rests longer from time to time, so that everybody sees all that waits.
    """

    def __init__(self) -> None:
        self._rests: dict[ShardJob, float] = {}
        self._not_before = 0.0
        self._patience: asyncio.Timeout | None = None
        """Until it is curious again, while it waits for that."""

    def room(self, concurrency: int) -> int:
        """Hold little, so that the end of a batch is spread: of one model a shard, and what keeps the calls going."""
        return GATE_SHARE * (SHARD_REQUESTS + ROUNDS * concurrency)

    async def next_job(self, queue: Queue, room: AdmissionBuffer) -> ShardJob:
        """Take the next one when hungry; otherwise at most one a second that there is room for, if there is one."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._not_before - loop.time()))
        while not await self._is_hungry(room):
            if (job := await queue.try_dequeue()) is not None:
                return job
        return await queue.dequeue()

    def rest_of(self, job: ShardJob) -> float | None:
        """Let it rest, twice as long as the last time, and look at the next one soon."""
        rest = min(LONGEST_REST, 2 * self._rests.get(job, FIRST_REST / 2))
        if len(self._rests) >= RESTS:
            self._rests.clear()
        self._rests[job] = rest
        if self._patience is not None and not self._patience.expired():
            self._patience.reschedule(asyncio.get_running_loop().time() + NEXT_LOOK)
        return rest

    def taken(self, job: ShardJob) -> None:
        """Begin anew with its rests."""
        self._rests.pop(job, None)

    async def _is_hungry(self, room: AdmissionBuffer) -> bool:
        """Tell, at the latest when it is curious again."""
        try:
            async with asyncio.timeout(CURIOSITY) as self._patience:
                while not room.nobody_waits.is_set():
                    await room.nobody_waits.wait()
                return True
        except TimeoutError:
            return False
        finally:
            self._patience = None

    def passed_on(self) -> None:
        """Stand back for a moment, so that another one takes it."""
        self._not_before = asyncio.get_running_loop().time() + CURIOSITY
