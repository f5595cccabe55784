"""Work that a cancellation must not cut in two, and work that a cancellation must end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from typing import Any, Final, TypeVar

T = TypeVar("T")

CANCEL_INTERVAL: Final = 0.5  # seconds until a task is cancelled once more


async def shielded(work: Coroutine[Any, Any, T]) -> T:
    """Do work to its end; a cancellation that comes meanwhile takes effect after it.

    A write that was handed to the store happens whether its caller waits or not. Who cleans up after a cancellation
    must see what the write did, and not overtake it.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # looked at, so that nobody is told that nobody did
        raise


async def cancel_all(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks until they have ended, whatever comes of them.

    One cancellation may be lost: before Python 3.12, `asyncio.wait_for` swallows one that comes in the same moment as
    what it waits for, and libraries wait with it.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_INTERVAL)
