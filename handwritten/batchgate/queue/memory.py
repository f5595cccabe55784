"""`Queue` in the memory of this process; rebuilt from the store at start."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from heapq import heapify, heappop, heappush

from batchgate.engine.model.shard import ShardJob


class MemoryQueue:
    """A priority queue of shards; ``unfinished_jobs`` reads those that are not done from the store."""

    def __init__(self, unfinished_jobs: Callable[[], Awaitable[Sequence[ShardJob]]]) -> None:
        self._unfinished_jobs = unfinished_jobs
        self._known: set[ShardJob] = set()
        """Those that wait here, rest or are held."""
        self._waiting: list[tuple[bool, ShardJob]] = []
        self._urgent: frozenset[int] = frozenset()
        self._some = asyncio.Event()

    async def enqueue_missing(self) -> None:
        """Line up every shard that is not done and not known here."""
        self.enqueue(await self._unfinished_jobs())

    def enqueue(self, jobs: Sequence[ShardJob]) -> None:
        """Line up jobs that are new."""
        for job in jobs:
            if job not in self._known:
                self._known.add(job)
                self._line_up(job)

    async def dequeue(self) -> ShardJob:
        """Wait for the next job by priority, and take it."""
        while (job := await self.try_dequeue()) is None:
            self._some.clear()
            await self._some.wait()
        return job

    async def try_dequeue(self) -> ShardJob | None:
        """Take the next job by priority, if there is one."""
        return heappop(self._waiting)[1] if self._waiting else None

    def complete(self, job: ShardJob) -> None:
        """Forget a job."""
        self._known.discard(job)

    def release(self, job: ShardJob, *, delay: float = 0.0) -> None:
        """Give a job back, which comes again here: there is nobody else."""
        if delay:
            asyncio.get_running_loop().call_later(delay, self._line_up, job)
        else:
            self._line_up(job)

    async def expedite(self, batch_keys: Sequence[int]) -> None:
        """Put the jobs of these batches before all others."""
        urgent = frozenset(batch_keys)
        if urgent != self._urgent:
            self._urgent = urgent
            self._waiting = [(self._can_wait(job), job) for _, job in self._waiting]
            heapify(self._waiting)

    def on_jobs_lost(self, callback: Callable[[], None]) -> None:
        """Pass over it: nobody takes this worker for dead."""

    def _line_up(self, job: ShardJob) -> None:
        heappush(self._waiting, (self._can_wait(job), job))
        self._some.set()

    def _can_wait(self, job: ShardJob) -> bool:
        return job.batch_key not in self._urgent
