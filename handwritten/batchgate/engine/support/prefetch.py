"""Does work a few pieces ahead of who takes what comes of it, where each waits for something far away."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Iterable
from typing import Any, TypeVar

Result = TypeVar("Result")


async def prefetch(work: Iterable[Coroutine[Any, Any, Result]], *, ahead: int) -> AsyncIterator[Result]:
    """Yield what pieces of work come to, in their order; ``ahead`` of them are under way beside the one waited for."""
    under_way: deque[asyncio.Task[Result]] = deque()
    try:
        for piece in work:
            under_way.append(asyncio.create_task(piece))
            if len(under_way) > ahead:
                yield await under_way.popleft()
        while under_way:
            yield await under_way.popleft()
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
