"""The temporary file of a job is closed although its submission is cancelled while a thread opens it."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator

from batchgate.providers.batches.request_bodies import spooled

ROUNDS = 6
"""More rounds of the event loop than it takes to hand a call to a thread."""


async def no_blocks() -> AsyncIterator[bytes]:
    """Yield nothing."""
    for block in list[bytes]():
        yield block


async def enter() -> None:
    async with spooled(no_blocks(), asyncio.Lock()):
        await asyncio.Event().wait()


async def test_a_cancellation_leaves_no_open_file() -> None:
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", ResourceWarning)
        for rounds in range(ROUNDS):
            entering = asyncio.create_task(enter())
            for _ in range(rounds):
                await asyncio.sleep(0)
            entering.cancel()
            await asyncio.wait([entering])
        await asyncio.get_running_loop().shutdown_default_executor()
        gc.collect()
    assert [str(warning.message) for warning in found] == []
