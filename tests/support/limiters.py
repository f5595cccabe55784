"""Limiters in virtual time, and calls on them."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from batchgate.engine.dispatch.limits import (
    SERVED,
    AccountLimits,
    CallOutcome,
    Limiter,
    OutcomeKind,
    Permit,
    Precedence,
)
from tests.support.engine_parts import account


def make_limiter(cap: int = 4, **fields: Any) -> Limiter:
    """Make a limiter of the model ``m``; ``fields`` are those of the account."""
    return Limiter(AccountLimits(account(**fields), random.Random(1)), "m", cap)


def refused(retry_after: float | None = None) -> CallOutcome:
    """Make the outcome of a call that was refused for load."""
    return CallOutcome(OutcomeKind.REFUSED, True, retry_after)


def now() -> float:
    """Return the time of the event loop."""
    return asyncio.get_running_loop().time()


async def acquire(limiter: Limiter, calls: int) -> list[Permit]:
    """Acquire permits for several calls."""
    return [await limiter.acquire((0, number, 1)) for number in range(calls)]


async def start_times(limiter: Limiter, calls: int, *, duration: float = 0.0) -> list[float]:
    """Make calls that are served after ``duration`` seconds, and return when each started."""

    async def call(precedence: Precedence) -> float:
        permit = await limiter.acquire(precedence)
        await asyncio.sleep(duration)
        limiter.release(permit, SERVED)
        return permit.started_at

    return await asyncio.gather(*(call((0, number, 1)) for number in range(calls)))
