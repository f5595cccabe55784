"""`Queue` in the memory of this process; rebuilt from the store at start."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from batchgate.engine.batch import ShardJob


class MemoryQueue:
    """A priority queue of shards."""

    def __init__(self) -> None:
        self._jobs: asyncio.PriorityQueue[ShardJob] = asyncio.PriorityQueue()

    def put(self, jobs: Sequence[ShardJob]) -> None:
        """Add jobs."""
        for job in jobs:
            self._jobs.put_nowait(job)

    async def get(self) -> ShardJob:
        """Wait for the next job by priority, and take it."""
        return await self._jobs.get()
