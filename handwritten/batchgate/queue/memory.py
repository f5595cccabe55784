"""`Queue` in the memory of one process, rebuilt from the store at start."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from heapq import heapify, heappop, heappush

from batchgate.engine.model.priority import Contenders
from batchgate.engine.model.shard import QueuedShard


class MemoryQueue:
    """A priority queue of shards; ``unfinished_jobs`` reads the jobs of unfinished shards from the store."""

    def __init__(self, unfinished_jobs: Callable[[], Awaitable[Sequence[QueuedShard]]]) -> None:
        self._unfinished_jobs = unfinished_jobs
        self._jobs: set[QueuedShard] = set()
        """All jobs: waiting, delayed or held."""
        self._waiting: list[tuple[bool, QueuedShard]] = []
        self._urgent: frozenset[int] = frozenset()
        self._job_available = asyncio.Event()

    async def enqueue_missing(self) -> None:
        """Enqueue every unfinished shard that has no job here."""
        self.enqueue(await self._unfinished_jobs())

    def enqueue(self, jobs: Sequence[QueuedShard]) -> None:
        """Enqueue the jobs that are not in the queue yet."""
        for job in jobs:
            if job not in self._jobs:
                self._jobs.add(job)
                self._push(job)

    def withdraw(self, batch_keys: AbstractSet[int]) -> None:
        """Remove the waiting jobs of suspended batches; a delayed one is dequeued later, and cannot be claimed then."""
        withdrawn = [job for _, job in self._waiting if job.batch_key in batch_keys] if batch_keys else []
        if withdrawn:
            self._jobs.difference_update(withdrawn)
            self._waiting = [entry for entry in self._waiting if entry[1].batch_key not in batch_keys]
            heapify(self._waiting)

    async def dequeue(self) -> QueuedShard:
        """Wait for the next job by priority, and hold it."""
        while (job := await self.try_dequeue()) is None:
            self._job_available.clear()
            await self._job_available.wait()
        return job

    async def try_dequeue(self) -> QueuedShard | None:
        """Hold the next job by priority; None if there is none."""
        return heappop(self._waiting)[1] if self._waiting else None

    def complete(self, job: QueuedShard) -> None:
        """Drop a job."""
        self._jobs.discard(job)

    def release(self, job: QueuedShard, *, delay: float = 0.0) -> None:
        """Return a job to the queue, available after ``delay`` seconds."""
        if delay:
            asyncio.get_running_loop().call_later(delay, self._push, job)
        else:
            self._push(job)

    async def expedite(self, batch_keys: Sequence[int]) -> None:
        """Move the jobs of these batches before all others."""
        urgent = frozenset(batch_keys)
        if urgent != self._urgent:
            self._urgent = urgent
            self._waiting = [(self._is_not_urgent(job), job) for _, job in self._waiting]
            heapify(self._waiting)

    async def reorder(self, contenders: Contenders) -> None:
        """Do nothing: the only worker claims every shard at once, and orders what it holds."""

    def on_jobs_lost(self, callback: Callable[[], None]) -> None:
        """Do nothing: the only worker is never considered dead."""

    def _push(self, job: QueuedShard) -> None:
        heappush(self._waiting, (self._is_not_urgent(job), job))
        self._job_available.set()

    def _is_not_urgent(self, job: QueuedShard) -> bool:
        return job.batch_key not in self._urgent
