"""Cancels the tasks at providers whose results are not wanted any more: their batch was canceled, or has expired.

Only what is stored decides: whoever left the task, this also finds it after a crash. One process of a cluster does it
for all.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from batchgate.engine.dispatch.router import Router
from batchgate.engine.dispatch.task_calls import cancel_task
from batchgate.engine.model.clock import DAY, Clock
from batchgate.engine.model.errors import NoUpstreamAnswer, StoreError
from batchgate.engine.model.provider_task import ProviderTask
from batchgate.engine.ports.cluster import Cluster
from batchgate.engine.ports.task_store import TaskStore
from batchgate.engine.support.health_problems import HealthReporter

logger = logging.getLogger(__name__)

LEASE: Final = "task clean-up"
INTERVAL: Final = 5.0
"""Seconds between two looks for tasks whose batch was stopped by another process, and between two attempts."""
AT_ONCE: Final = 16
"""Tasks of one account that are canceled at the same time."""
MOST: Final = 1000
"""Tasks that one look reads at most."""
MAX_AGE: Final = DAY
"""The age from which on a task that cannot be canceled is left alone: by then it has ended in any case."""


class TaskCleanup:
    """Looks for stopped tasks every few seconds, and at once when a batch stops here."""

    def __init__(
        self, store: TaskStore, router: Router, clock: Clock, cluster: Cluster, report: HealthReporter
    ) -> None:
        self._store = store
        self._router = router
        self._clock = clock
        self._cluster = cluster
        self._report = report
        self._wake = asyncio.Event()

    def look(self) -> None:
        """Look for stopped tasks now."""
        self._wake.set()

    async def run(self) -> None:
        """Clean up until cancelled."""
        while True:
            self._wake.clear()
            try:
                await self._clean_up()
            except StoreError as error:
                self._report(LEASE, error)
            except Exception as error:
                logger.exception("the clean-up of tasks failed", extra={"action": "task_cleanup_failed"})
                self._report(LEASE, error)
            else:
                self._report(LEASE, None)
            with suppress(TimeoutError):
                async with asyncio.timeout(INTERVAL):
                    await self._wake.wait()

    async def _clean_up(self) -> None:
        """Cancel the stopped tasks; one that cannot be canceled now waits for the next look."""
        if not await self._cluster.acquire_lease(LEASE):
            return
        by_account = defaultdict[str, list[ProviderTask]](list)
        for task in await self._store.stopped_tasks(self._clock.now(), MOST):
            by_account[task.account].append(task)
        await asyncio.gather(*map(self._end_all, by_account.values()))

    async def _end_all(self, tasks: Sequence[ProviderTask]) -> None:
        """Cancel tasks of one account, up to the first that fail: the next ones are likely to fail too."""
        for first in range(0, len(tasks), AT_ONCE):
            if not all(await asyncio.gather(*map(self._end, tasks[first : first + AT_ONCE]))):
                return

    async def _end(self, task: ProviderTask) -> bool:
        """Cancel a task and forget it; False if it has to wait for the next look."""
        is_over = await self._cancel(task) or self._clock.now() - task.created_at > MAX_AGE
        if is_over:
            await self._store.forget_task(task)
        return is_over

    async def _cancel(self, task: ProviderTask) -> bool:
        """Cancel a task at its provider, and return whether nothing is left to do."""
        endpoint = self._router.endpoint(task.account)
        fields = {"action": "task_left", "account": task.account, "task": task.task_id}
        if endpoint is None or endpoint.tasks is None:
            logger.warning("a task was not canceled: its account is no longer configured", extra=fields)
            return True
        try:
            return await cancel_task(endpoint, endpoint.tasks, task.task_id)
        except NoUpstreamAnswer as error:
            logger.warning("a task is not canceled yet: %s", error.message, extra=fields)
            return False
