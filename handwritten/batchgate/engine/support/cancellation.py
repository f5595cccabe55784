"""Cancellation of tasks: shield work that must not be interrupted, and cancel tasks until they end.

One cancellation may be lost: before Python 3.12, `asyncio.wait_for` swallows a cancellation that comes in the same
moment as the awaited result, and libraries use it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from typing import Any, Final, TypeVar

T = TypeVar("T")

CANCEL_INTERVAL: Final = 0.5  # seconds until a task is cancelled once more


async def shielded(work: Coroutine[Any, Any, T]) -> T:
    """Run work to its end; a cancellation of the caller takes effect only then.

    The store executes a write even if the caller stops waiting for it. Cleanup after a cancellation must run after the
    write, so that it sees the effect of it.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # marks it as retrieved, so that asyncio does not log it
        raise


async def cancel_all(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks repeatedly until they have ended, since one cancellation may be lost; ignores their results."""
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_INTERVAL)


def cancel_requests() -> int:
    """Return how often the current task was cancelled; more than before it used a library: raise `CancelledError`."""
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0
