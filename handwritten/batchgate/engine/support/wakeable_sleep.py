"""Sleeps by the clock of the engine that can be ended early."""

from __future__ import annotations

import asyncio

from batchgate.engine.model.clock import MICROSECONDS, Clock
from batchgate.engine.support.cancellation import cancel_all


class WakeableSleep:
    """The sleeps of one task."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """End the present sleep, or the next one before the next `reset`."""
        self._woken.set()

    def reset(self) -> None:
        """Forget earlier calls of `wake`."""
        self._woken.clear()

    async def sleep(self, seconds: float) -> None:
        """Wait; a `wake` since the last `reset` ends it."""
        until = self._clock.now() + round(seconds * MICROSECONDS)
        tasks = [asyncio.create_task(self._clock.sleep_until(until)), asyncio.create_task(self._wait_until_woken())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel_all(tasks)

    async def _wait_until_woken(self) -> None:
        await self._woken.wait()
