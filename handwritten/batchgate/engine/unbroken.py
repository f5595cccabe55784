"""Work that a cancellation of its caller must not cut in two."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


async def unbroken(work: Coroutine[Any, Any, T]) -> T:
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
