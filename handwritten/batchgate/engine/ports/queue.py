"""The queue of shards that wait for a worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from batchgate.engine.model.shard import ShardJob


class Queue(Protocol):
    """Jobs that wait, and jobs that this worker holds: dequeued, and neither completed nor released since.

    Completions and releases are neither awaited nor lost: a queue that is unreachable gets them when it is back.
    """

    async def enqueue_missing(self) -> None:
        """Enqueue every shard that is not done and has no job; raises `StoreError`."""
        ...

    def enqueue(self, jobs: Sequence[ShardJob]) -> None:
        """Enqueue the jobs of shards that the store has just created."""
        ...

    async def dequeue(self) -> ShardJob:
        """Wait for the next job by priority, and hold it."""
        ...

    async def try_dequeue(self) -> ShardJob | None:
        """Hold the next job by priority, if there is one now."""
        ...

    def complete(self, job: ShardJob) -> None:
        """Drop a job: its shard is done, or another worker has it."""
        ...

    def release(self, job: ShardJob, *, delay: float = 0.0) -> None:
        """Give a job back for any worker to take, after ``delay`` seconds."""
        ...

    async def expedite(self, batch_keys: Sequence[int]) -> None:
        """Move the jobs of these batches before all others; raises `StoreError`."""
        ...

    def on_jobs_lost(self, callback: Callable[[], None]) -> None:
        """Set what to call when this worker holds no job any more, because it was considered dead."""
        ...
