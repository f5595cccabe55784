"""The contract of `Queue`, kept by every implementation."""

import asyncio

import pytest

from batchgate.engine.batch import ShardJob
from batchgate.engine.ports import Queue
from batchgate.queue import MemoryQueue


async def nothing() -> list[ShardJob]:
    return []


@pytest.fixture
def queue() -> Queue:
    return MemoryQueue(nothing)


def job(priority: int, batch: int) -> ShardJob:
    return ShardJob(priority=priority, batch_key=batch, shard=priority)


async def test_jobs_come_by_priority_and_among_equals_the_older_batch_first(queue: Queue) -> None:
    queue.put([job(1, 1), job(0, 2), job(0, 1), job(1, 2)])
    assert [await queue.get() for _ in range(4)] == [job(0, 1), job(0, 2), job(1, 1), job(1, 2)]


async def test_who_waits_gets_the_next_job(queue: Queue) -> None:
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    assert not waiting.done()
    queue.put([job(3, 1)])
    assert await waiting == job(3, 1)


async def test_a_waiter_that_gives_up_takes_no_job_with_it(queue: Queue) -> None:
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    waiting.cancel()
    queue.put([job(0, 1)])
    await asyncio.gather(waiting, return_exceptions=True)
    assert await queue.get() == job(0, 1)
