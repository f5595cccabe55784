"""Work on one batch after another, each of which is done until it succeeds, however long storage takes.

Among several processes one works on a batch. The others pass over it, and it is handed over again if it is left undone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from batchgate.engine.model.errors import BlobError, StoreError
from batchgate.engine.ports.cluster import Cluster
from batchgate.engine.support.health_problems import ReportHealth

logger = logging.getLogger(__name__)

MIN_RETRY_DELAY = 1.0  # seconds between two tries, at first
MAX_RETRY_DELAY = 30.0


class BatchTasks:
    """Does one thing for one batch after another, as they are handed over."""

    def __init__(
        self, part: str, work: Callable[[int], Awaitable[None]], cluster: Cluster, report: ReportHealth
    ) -> None:
        self._part = part
        self._work = work
        self._cluster = cluster
        self._report = report
        self._waiting: asyncio.Queue[int] = asyncio.Queue()
        self._known: set[int] = set()
        self._rests: dict[int, float] = {}

    def add(self, batch_key: int) -> None:
        """Line up a batch; asked twice, it is worked on once."""
        if batch_key not in self._known:
            self._known.add(batch_key)
            self._waiting.put_nowait(batch_key)

    async def run(self) -> None:
        """Work until cancelled; what fails is reported and tried again, and holds up no other batch."""
        while True:
            key = await self._waiting.get()
            try:
                await self._work_alone(key)
            except (StoreError, BlobError) as error:
                self._try_again(key, error)
            except Exception as error:
                fields = {"action": "batch_task_failed", "component": self._part}
                logger.exception("%s failed in the gateway itself", self._part, extra=fields)
                self._try_again(key, error)
            else:
                self._report(self._part, None, of=str(key))
                self._known.discard(key)
                self._rests.pop(key, None)

    async def _work_alone(self, key: int) -> None:
        lease = f"{self._part}/{key}"
        if await self._cluster.acquire_lease(lease):
            try:
                await self._work(key)
            finally:
                await self._cluster.release_lease(lease)

    def _try_again(self, key: int, error: Exception) -> None:
        self._report(self._part, error, of=str(key))
        # Longer from time to time: each try may write a large file up to where it fails.
        rest = self._rests[key] = min(MAX_RETRY_DELAY, 2 * self._rests.get(key, MIN_RETRY_DELAY / 2))
        asyncio.get_running_loop().call_later(rest, self._waiting.put_nowait, key)
