"""Applies in this process what callers did to batches: at once when it is told, otherwise once a second.

What is applied is what the store says then, not what a message says. So a message that is lost, late or twice there
changes nothing but the delay.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final

from batchgate.engine.model.concurrency_cap import ConcurrencyCaps
from batchgate.engine.model.errors import StoreError
from batchgate.engine.model.priority import Contenders
from batchgate.engine.ports.steering_store import SteeringStore
from batchgate.engine.support.health_problems import HealthReporter

logger = logging.getLogger(__name__)

COMPONENT: Final = "steering"
INTERVAL: Final = 1.0  # seconds between two looks without a signal


class SteeringWatch:
    """Keeps the worker and the native jobs to the pauses, lane changes, concurrency caps and priorities in the store.

    ``suspend`` gets the keys of the batches whose shards no worker may run: paused ones, and others that await a plan.
    ``apply_caps`` gets the concurrency caps, at each look.
    ``apply_contenders`` gets the batches of workspaces whose batches differ in priority, whenever these change.
    ``wake_jobs`` gets the key of a batch with native jobs here, which ``batches_with_jobs`` returns, after each action.
    """

    def __init__(
        self,
        *,
        steering: SteeringStore,
        suspend: Callable[[frozenset[int]], None],
        apply_caps: Callable[[ConcurrencyCaps], None],
        apply_contenders: Callable[[Contenders], Awaitable[None]],
        batches_with_jobs: Callable[[], frozenset[int]],
        wake_jobs: Callable[[int], None],
        enqueue_missing: Callable[[], Awaitable[None]],
        report: HealthReporter,
    ) -> None:
        self._steering = steering
        self._suspend = suspend
        self._apply_caps = apply_caps
        self._apply_contenders = apply_contenders
        self._batches_with_jobs = batches_with_jobs
        self._wake_jobs = wake_jobs
        self._enqueue_missing = enqueue_missing
        self._report = report
        self._signaled = asyncio.Event()
        self.suspended: frozenset[int] = frozenset()
        """The keys of the suspended batches, as of the last look."""
        self._contenders: Contenders = {}
        self._actions: Mapping[int, int] = {}
        """The numbers of the latest actions on batches with jobs here, as of the last look."""

    def look(self) -> None:
        """Look into the store now: a batch was steered."""
        self._signaled.set()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            signaled = self._signaled.is_set()
            self._signaled.clear()
            if not await self._try_to_look(signaled=signaled) and signaled:
                self._signaled.set()
                await asyncio.sleep(INTERVAL)
            with suppress(TimeoutError):
                async with asyncio.timeout(INTERVAL):
                    await self._signaled.wait()

    async def _try_to_look(self, *, signaled: bool) -> bool:
        """Look; return False if that failed."""
        try:
            await self._look(signaled=signaled)
        except StoreError as error:
            self._report(COMPONENT, error)
        except Exception as error:
            logger.exception("steering failed with an internal error", extra={"action": "steering_failed"})
            self._report(COMPONENT, error)
        else:
            self._report(COMPONENT, None)
            return True
        return False

    async def _look(self, *, signaled: bool) -> None:
        suspended = frozenset(await self._steering.suspended_batches())
        before, self.suspended = self.suspended, suspended
        resumed = before - suspended
        self._suspend(suspended)
        self._apply_caps(await self._steering.concurrency_caps())
        if signaled or resumed:
            await self._enqueue_missing()
        await self._look_at_jobs()
        await self._look_at_priorities()

    async def _look_at_jobs(self) -> None:
        keys = self._batches_with_jobs()
        before, self._actions = self._actions, await self._steering.latest_actions(keys) if keys else {}
        for batch_key, _ in self._actions.items() - before.items():
            self._wake_jobs(batch_key)

    async def _look_at_priorities(self) -> None:
        contenders = await self._steering.contenders()
        if contenders != self._contenders:
            await self._apply_contenders(contenders)
            self._contenders = contenders
