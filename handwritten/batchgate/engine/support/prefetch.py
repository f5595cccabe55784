"""Prefetching: start the next pieces of work while the caller uses the present result."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterable
from typing import Any, TypeVar

Result = TypeVar("Result")


async def prefetch_next(items: AsyncIterator[Result]) -> AsyncGenerator[Result, None]:
    """Yield the items of an iterator, none of which is None; it produces the next one while the caller uses one."""

    async def produce() -> Result | None:
        return await anext(items, None)

    following = asyncio.create_task(produce())
    try:
        while (item := await following) is not None:
            following = asyncio.create_task(produce())
            yield item
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def prefetch(work: Iterable[Coroutine[Any, Any, Result]], *, ahead: int) -> AsyncGenerator[Result, None]:
    """Yield the results of coroutines in order; up to ``ahead`` more of them run meanwhile."""
    running: deque[asyncio.Task[Result]] = deque()
    try:
        for coroutine in work:
            running.append(asyncio.create_task(coroutine))
            if len(running) > ahead:
                yield await running.popleft()
        while running:
            yield await running.popleft()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
