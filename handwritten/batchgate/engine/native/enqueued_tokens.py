"""Bounds the tokens that wait in a provider's batch queue, which has a limit for each model (native-lanes 5)."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Final

from batchgate.engine.support.cancellation import cancel_all

USED_PART: Final = 0.9
"""The part of a limit that is used, since tokens are estimated."""


class EnqueuedTokens:
    """The tokens of the jobs of one model of one account that have not ended; a job waits until there is room."""

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        """None while no limit is known."""
        self._reserved: dict[str, int] = {}
        """By the token of the job."""
        self._changed = asyncio.Event()

    @property
    def is_empty(self) -> bool:
        """Whether no job is in the provider's queue."""
        return not self._reserved

    def has_room(self, tokens: int) -> bool:
        """Check if a job fits; one job alone is always tried, since its tokens are only estimated."""
        return self._limit is None or self.is_empty or sum(self._reserved.values()) + tokens <= USED_PART * self._limit

    def reserve(self, job: str, tokens: int) -> None:
        """Count a job that may be in the provider's queue."""
        self._reserved[job] = tokens

    def release(self, job: str) -> None:
        """Count a job no longer."""
        if self._reserved.pop(job, None) is not None:
            self._signal()

    def refused(self, job: str, limit: int | None) -> None:
        """Learn from a refusal: the limit that it names, or half of what was enqueued.

        It ends no `wait_for_room`: jobs that were refused themselves would take turns without any delay.
        """
        enqueued = sum(self._reserved.values())
        self._limit = limit or max(1, enqueued // 2)
        self._reserved.pop(job, None)

    async def wait_for_room(self, at_most: Coroutine[None, None, None]) -> bool:
        """Wait until a job is released, or until ``at_most`` ends; return whether one was released."""
        changed = self._changed
        tasks = [asyncio.create_task(_wait(changed)), asyncio.create_task(at_most)]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel_all(tasks)
        return changed.is_set()

    def _signal(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


async def _wait(event: asyncio.Event) -> None:
    await event.wait()
