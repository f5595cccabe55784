"""A task that waits for a connection is cancelled in the moment in which it gets one: the cancellation still counts.

Before Python 3.12, `asyncio.wait_for`, which the pool uses, swallows such a cancellation. A request that waited at the
budget of its batch then went on waiting after the batch was paused, and its process could not stop.
"""

from __future__ import annotations

import asyncio

from batchgate.store.postgres.address import PostgresAddress
from batchgate.store.postgres.connection import PostgresPool

ROUNDS = 6
"""More rounds of the event loop than the pool takes to hand over a connection."""


async def test_a_cancellation_is_not_lost_while_a_connection_is_handed_over(url: str) -> None:
    pool = PostgresPool(PostgresAddress(url), connections=1)
    await pool.open()
    try:
        for rounds in range(ROUNDS):
            assert await ends_as_cancelled(pool, rounds)
    finally:
        await pool.close()


async def ends_as_cancelled(pool: PostgresPool, rounds: int) -> bool:
    """Cancel a read that waits for a connection, some rounds after that was free; whether it ends as it should."""
    read = {"workspace": "w", "id": "a"}
    holding = asyncio.create_task(pool.fetch_all("find_batch", read))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(pool.fetch_all("find_batch", read))
    await holding
    for _ in range(rounds):
        await asyncio.sleep(0)
    was_running = waiting.cancel()
    await asyncio.wait([waiting])
    return waiting.cancelled() == was_running
