"""Bounds the tokens that wait in a provider's batch queue, which has a limit for each model (native-lanes 5)."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Final

from msgspec import Struct

from batchgate.engine.model.clock import HOUR, Clock
from batchgate.engine.support.cancellation import cancel_all

USED_PART: Final = 0.9
"""The part of a limit that is used, since tokens are estimated."""


GROWTH: Final = 8
"""Hours in which a learned limit grows by what was refused."""


class EnqueuedTokens:
    """The tokens of the jobs of one model of one account that have not ended; a job waits until there is room.

    A refusal without a number halves the limit: part of the provider's queue may have been full with jobs of other
    programs. So the limit grows again, by an eighth of what was refused in each hour, up to what was refused or to the
    configured limit.
    """

    def __init__(self, limit: int | None = None, *, clock: Clock) -> None:
        self._configured = limit
        self._clock = clock
        self._learned: _LearnedLimit | None = None
        """None while nothing was refused."""
        self._reserved: dict[str, int] = {}
        """By the token of the job."""
        self._changed = asyncio.Event()

    @property
    def is_empty(self) -> bool:
        """Whether no job is in the provider's queue."""
        return not self._reserved

    def has_room(self, tokens: int) -> bool:
        """Check if a job fits; one job alone is always tried, since its tokens are only estimated."""
        limit = self._configured if self._learned is None else self._learned.at(self._clock.now())
        return limit is None or self.is_empty or sum(self._reserved.values()) + tokens <= USED_PART * limit

    def reserve(self, job: str, tokens: int) -> None:
        """Count a job that may be in the provider's queue."""
        self._reserved[job] = tokens

    def release(self, job: str) -> None:
        """Count a job no longer."""
        if self._reserved.pop(job, None) is not None:
            self._signal()

    def refused(self, job: str, limit: int | None) -> None:
        """Learn from a refusal: the limit that it names, which does not grow, or half of what was enqueued.

        It ends no `wait_for_room`: jobs that were refused themselves would take turns without any delay.
        """
        enqueued = sum(self._reserved.values())
        highest = max(enqueued, self._configured or 0)
        self._learned = _LearnedLimit(limit or enqueued // 2, limit or highest, enqueued, self._clock.now())
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


class _LearnedLimit(Struct, frozen=True):
    """What a refusal says about the limit."""

    start: int
    highest: int
    refused: int
    since: int
    """The time of the refusal, in microseconds since the epoch."""

    def at(self, now: int) -> float:
        """Return the limit at a time."""
        return min(self.highest, self.start + self.refused * (now - self.since) / (GROWTH * HOUR))


async def _wait(event: asyncio.Event) -> None:
    await event.wait()
