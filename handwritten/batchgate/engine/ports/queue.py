"""The queue of shards that wait for a worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol

from batchgate.engine.model.priority import Contenders
from batchgate.engine.model.shard import QueuedShard


class Queue(Protocol):
    """Keeps waiting jobs, and jobs that this worker holds: dequeued, but not yet completed or released.

    The worker does not wait for completions and releases; if the queue is unreachable, they are sent once it is back.
    """

    async def enqueue_missing(self) -> None:
        """Enqueue every shard that is not done and has no job; raises `StoreError`."""
        ...

    def enqueue(self, jobs: Sequence[QueuedShard]) -> None:
        """Enqueue the jobs of shards that the store has just created."""
        ...

    def withdraw(self, batch_keys: AbstractSet[int]) -> None:
        """Remove the waiting jobs of suspended batches; when these run again, `enqueue_missing` puts them back."""
        ...

    async def dequeue(self) -> QueuedShard:
        """Wait for the next job by priority, and take it."""
        ...

    async def try_dequeue(self) -> QueuedShard | None:
        """Take the next job by priority, if there is one now."""
        ...

    def complete(self, job: QueuedShard) -> None:
        """Remove a job, because its shard is done or another worker has claimed it."""
        ...

    def release(self, job: QueuedShard, *, delay: float = 0.0) -> None:
        """Put a job back for any worker, after ``delay`` seconds."""
        ...

    async def expedite(self, batch_keys: Sequence[int]) -> None:
        """Move the jobs of these batches before all others; raises `StoreError`."""
        ...

    async def reorder(self, contenders: Contenders) -> None:
        """Let the waiting jobs of these batches, and only these, exchange their places in their workspaces by weight.

        Raises `StoreError`.
        """
        ...

    def on_jobs_lost(self, callback: Callable[[], None]) -> None:
        """Set the callback for when this worker lost all its jobs, because it was considered dead."""
        ...
