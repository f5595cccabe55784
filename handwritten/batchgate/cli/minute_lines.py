"""Prints lines once a minute, so that a command that waits without a terminal is never silent for longer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Final

from batchgate.cli.terminal_text import say

INTERVAL: Final = 60.0  # seconds


@asynccontextmanager
async def lines_each_minute(lines: Callable[[], Iterable[str]], *, err: bool = False) -> AsyncIterator[None]:
    """Print what ``lines`` returns once a minute, on stdout or stderr, until the context ends."""
    ticking = asyncio.create_task(_say_each_minute(lines, err=err), name="minutes")
    try:
        yield
    finally:
        ticking.cancel()
        with suppress(asyncio.CancelledError):
            await ticking


async def _say_each_minute(lines: Callable[[], Iterable[str]], *, err: bool) -> None:
    while True:
        await asyncio.sleep(INTERVAL)
        for line in lines():
            say(line, err=err)
