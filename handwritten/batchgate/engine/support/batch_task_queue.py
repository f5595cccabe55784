"""Runs one kind of work for one batch after another, and retries it until it succeeds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from batchgate.engine.model.errors import BlobError, ClockError, StoreError
from batchgate.engine.ports.cluster import Cluster
from batchgate.engine.support.health_problems import HealthReporter

logger = logging.getLogger(__name__)

MIN_RETRY_DELAY = 1.0  # seconds
MAX_RETRY_DELAY = 30.0


class BatchTaskQueue:
    """A queue of batches that need the same work, and the loop that does this work.

    A lease makes sure that only one process of the cluster works on a batch. A process that does not get the lease
    drops the batch; the sweeper adds it again if it is left unfinished.
    """

    def __init__(
        self, component: str, work: Callable[[int], Awaitable[None]], cluster: Cluster, report: HealthReporter
    ) -> None:
        self._component = component
        self._work = work
        self._cluster = cluster
        self._report = report
        self._queue: asyncio.Queue[int] = asyncio.Queue()
        self._pending: set[int] = set()
        """The batches that are queued, being worked on, or waiting for a retry."""
        self._retry_delays: dict[int, float] = {}

    def add(self, batch_key: int) -> None:
        """Enqueue a batch; does nothing if it is pending already."""
        if batch_key not in self._pending:
            self._pending.add(batch_key)
            self._queue.put_nowait(batch_key)

    async def run(self) -> None:
        """Work until cancelled; a failure is reported and retried later, and does not delay other batches."""
        while True:
            key = await self._queue.get()
            try:
                await self._work_with_lease(key)
            except (StoreError, BlobError, ClockError) as error:
                self._retry_later(key, error)
            except Exception as error:
                fields = {"action": "batch_task_failed", "component": self._component}
                logger.exception("%s failed with an internal error", self._component, extra=fields)
                self._retry_later(key, error)
            else:
                self._report(self._component, None, of=str(key))
                self._pending.discard(key)
                self._retry_delays.pop(key, None)

    async def _work_with_lease(self, key: int) -> None:
        lease = f"{self._component}/{key}"
        if await self._cluster.acquire_lease(lease):
            try:
                await self._work(key)
            finally:
                await self._cluster.release_lease(lease)

    def _retry_later(self, key: int, error: Exception) -> None:
        self._report(self._component, error, of=str(key))
        # The delay doubles, since each attempt may write a large file up to where it fails.
        delay = min(MAX_RETRY_DELAY, 2 * self._retry_delays.get(key, MIN_RETRY_DELAY / 2))
        self._retry_delays[key] = delay
        asyncio.get_running_loop().call_later(delay, self._queue.put_nowait, key)
