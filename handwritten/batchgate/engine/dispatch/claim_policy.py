"""Decides when a worker claims the next shard, and what happens to a shard that it has no capacity for.

A worker that is alone claims every shard, so that every request that fits runs at once, for any mix of models. One of
several workers must not, or it would hold shards that the other workers could run.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from batchgate.engine.dispatch.admission import MAX_REQUESTS, AdmissionControl
from batchgate.engine.model.shard import SHARD_REQUESTS, QueuedShard
from batchgate.engine.ports.queue import Queue

CAPACITY_PER_CALL: Final = 4
"""A worker that is alone holds this many requests per concurrent call to one model, if that is more than usual."""
ROUNDS: Final = 2
"""Rounds of calls to one model that one of several workers holds beside one shard."""
LIMITER_DIVISOR: Final = 3
"""The requests of one limiter key may use a third of the capacity."""
CLAIM_INTERVAL: Final = 1.0  # seconds between two claims while shards are deferred, or after a release
RECLAIM_INTERVAL: Final = 0.1
"""Seconds until the next claim when the last shard was not admitted: many such may precede one that is."""
FIRST_BACKOFF: Final = 2.0  # seconds that a shard stays in the queue when none of its requests was admitted
MAX_BACKOFF: Final = 30.0
MAX_BACKOFFS: Final = 10_000
"""Shards whose last backoff is remembered; other workers may have run them since."""


class ClaimPolicy(Protocol):
    """Decides when a worker claims shards, and which it returns to the queue."""

    def capacity(self, concurrency: int) -> int:
        """Return how many requests a worker holds, given the concurrent calls to one model."""
        ...

    async def next_job(self, queue: Queue, admission: AdmissionControl) -> QueuedShard:
        """Wait until another shard may be claimed, and dequeue it."""
        ...

    def backoff_for(self, job: QueuedShard) -> float | None:
        """Return the seconds for which a shard that was not admitted goes back to the queue; None to defer it here."""
        ...

    def on_progress(self, job: QueuedShard) -> None:
        """Record that requests of a shard were admitted, or that this worker no longer holds it."""
        ...

    def on_released(self) -> None:
        """Record that a shard was returned to the queue at once, for another worker."""
        ...


class ClaimAllPolicy:
    """The `ClaimPolicy` of a worker that is alone: it claims every shard at once."""

    def capacity(self, concurrency: int) -> int:
        """Hold many requests, so that few shards are read twice."""
        return max(MAX_REQUESTS, CAPACITY_PER_CALL * concurrency)

    async def next_job(self, queue: Queue, admission: AdmissionControl) -> QueuedShard:  # noqa: ARG002 - the protocol's
        """Dequeue the next shard."""
        return await queue.dequeue()

    def backoff_for(self, job: QueuedShard) -> float | None:  # noqa: ARG002 - the same for all
        """Defer it here: there is no other worker."""
        return None

    def on_progress(self, job: QueuedShard) -> None:
        """Do nothing."""

    def on_released(self) -> None:
        """Do nothing."""


class FairClaimPolicy:
    """The `ClaimPolicy` of one of several workers.

    It claims at once while no shard is deferred, otherwise one shard per `CLAIM_INTERVAL`. So a slow model never blocks
    a fast one, whose shards may still be in the queue. A shard of which no request is admitted goes back to the queue
    with a growing backoff, so that every worker gets to all queued shards.
    """

    def __init__(self) -> None:
        self._backoffs: dict[QueuedShard, float] = {}
        self._not_before = 0.0
        self._interval: asyncio.Timeout | None = None
        """Ends the wait for the next claim, while there is one."""

    def capacity(self, concurrency: int) -> int:
        """Hold few requests, so that the end of a batch is spread: of one model a shard and `ROUNDS` of calls."""
        return LIMITER_DIVISOR * (SHARD_REQUESTS + ROUNDS * concurrency)

    async def next_job(self, queue: Queue, admission: AdmissionControl) -> QueuedShard:
        """Dequeue the next shard: as soon as none is deferred, otherwise the first that is there after the interval."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._not_before - loop.time()))
        while not await self._none_deferred_within_interval(admission):
            if (job := await queue.try_dequeue()) is not None:
                return job
        return await queue.dequeue()

    def backoff_for(self, job: QueuedShard) -> float | None:
        """Return twice the shard's last backoff, and shorten the wait for the next claim."""
        backoff = min(MAX_BACKOFF, 2 * self._backoffs.get(job, FIRST_BACKOFF / 2))
        if len(self._backoffs) >= MAX_BACKOFFS:
            self._backoffs.clear()
        self._backoffs[job] = backoff
        if self._interval is not None and not self._interval.expired():
            self._interval.reschedule(asyncio.get_running_loop().time() + RECLAIM_INTERVAL)
        return backoff

    def on_progress(self, job: QueuedShard) -> None:
        """Reset the shard's backoff."""
        self._backoffs.pop(job, None)

    def on_released(self) -> None:
        """Wait for an interval before the next claim, so that another worker gets the shard."""
        self._not_before = asyncio.get_running_loop().time() + CLAIM_INTERVAL

    async def _none_deferred_within_interval(self, admission: AdmissionControl) -> bool:
        """Wait until no shard is deferred, for an interval at most; return whether that is so."""
        try:
            async with asyncio.timeout(CLAIM_INTERVAL) as self._interval:
                while not admission.none_deferred.is_set():
                    await admission.none_deferred.wait()
                return True
        except TimeoutError:
            return False
        finally:
            self._interval = None
