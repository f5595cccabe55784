"""Watches the clock of the process: compares it with the database's, and reports when the time is in doubt."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from batchgate.engine.model.errors import ClockError, StoreError
from batchgate.engine.support.health_problems import HealthReporter
from batchgate.engine.support.steady_clock import SteadyClock

INTERVAL = 1.0  # seconds between two checks
COMPONENT: Final = "clock"


class ClockWatch:
    """Checks the clock; ``database_time`` reads the database's clock, if the database has one of its own."""

    def __init__(
        self, clock: SteadyClock, database_time: Callable[[], Awaitable[int]] | None, report: HealthReporter
    ) -> None:
        self._clock = clock
        self._database_time = database_time
        self._report = report

    async def check(self) -> None:
        """Check once; while the database does not answer, its clock goes on as it was."""
        if self._database_time is not None:
            with suppress(StoreError):
                await self._clock.compare(self._database_time)
        problem = self._clock.problem
        self._report(COMPONENT, None if problem is None else ClockError(problem))

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            await self.check()
            await asyncio.sleep(INTERVAL)
