"""The contract of `Queue`, kept by every implementation: jobs are those of shards that a store has made."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from batchgate.engine.model.batch import NewBatch
from batchgate.engine.model.shard import Chunk, Shard, ShardJob
from batchgate.engine.ports.queue import Queue
from batchgate.engine.ports.store import Store
from batchgate.queue import MemoryQueue
from batchgate.queue.procrastinate import ProcrastinateQueue
from tests.support.databases import Database

PATIENCE = 10.0  # seconds


@dataclass
class Lines:
    """A queue, and the store whose shards line up in it."""

    queue: Queue
    store: Store

    async def make(self, *shards_of_batches: int) -> list[list[ShardJob]]:
        """Store batches of so many shards each, and line these up."""
        made = []
        for number, shards in enumerate(shards_of_batches):
            await self.store.add_orphan_blob(f"input {number}")
            _, jobs = await self.store.create_batch(new_batch(number, shards))
            self.queue.enqueue(jobs)
            made.append(list(jobs))
        return made

    async def finish(self, job: ShardJob) -> None:
        """Have the shard of a job done, as a worker does it."""
        claim = await self.store.claim_shard(job)
        assert claim is not None
        await self.store.append_chunk(claim, Chunk(seqs=(), lines=b"", succeeded=0, errored=0), shard_done=True)


def new_batch(number: int, shards: int) -> NewBatch:
    return NewBatch(
        id=f"batch_{number}",
        workspace="w",
        dialect="anthropic",
        provider="a",
        headers={},
        created_at=0,
        expires_at=1,
        input_blob=f"input {number}",
        shards=tuple(shard(index) for index in range(shards)),
    )


def shard(index: int) -> Shard:
    return Shard(index=index, first_seq=10 * index, requests=10, offset=0, length=0, checksum=0)


@pytest.fixture
async def lines(database: Database) -> AsyncIterator[Lines]:
    async with AsyncExitStack() as stack:
        store: Store = await stack.enter_async_context(database.store())
        queue: Queue = MemoryQueue(store.unfinished_jobs)
        if database.url is not None:
            queue = await stack.enter_async_context(ProcrastinateQueue(database.url, timeout=30.0))
        yield Lines(queue, store)


async def taken(queue: Queue) -> ShardJob:
    async with asyncio.timeout(PATIENCE):
        return await queue.dequeue()


async def test_jobs_come_by_priority_and_among_equals_the_older_batch_first(lines: Lines) -> None:
    (a0, a1), (b0, b1) = await lines.make(2, 2)
    assert [await taken(lines.queue) for _ in range(4)] == [a0, b0, a1, b1]
    assert await lines.queue.try_dequeue() is None


async def test_who_waits_gets_the_next_job(lines: Lines) -> None:
    waiting = asyncio.create_task(taken(lines.queue))
    await asyncio.sleep(0)
    assert not waiting.done()
    [[job]] = await lines.make(1)
    assert await waiting == job


async def test_a_waiter_that_gives_up_takes_no_job_with_it(lines: Lines) -> None:
    waiting = asyncio.create_task(lines.queue.dequeue())
    await asyncio.sleep(0)
    waiting.cancel()
    [[job]] = await lines.make(1)
    await asyncio.gather(waiting, return_exceptions=True)
    assert await taken(lines.queue) == job


async def test_a_job_that_is_left_comes_again(lines: Lines) -> None:
    [[first, second]] = await lines.make(2)
    assert await taken(lines.queue) == first
    lines.queue.release(first)
    assert {await taken(lines.queue), await taken(lines.queue)} == {first, second}


async def test_a_job_that_is_left_to_rest_comes_after_its_rest(lines: Lines) -> None:
    [[first, second]] = await lines.make(2)
    assert await taken(lines.queue) == first
    begun = asyncio.get_running_loop().time()
    lines.queue.release(first, delay=0.5)
    assert await taken(lines.queue) == second
    assert await taken(lines.queue) == first
    assert asyncio.get_running_loop().time() - begun >= 0.5


async def test_a_job_that_is_done_does_not_come_again(lines: Lines) -> None:
    [[job]] = await lines.make(1)
    assert await taken(lines.queue) == job
    await lines.finish(job)
    lines.queue.complete(job)
    await lines.queue.enqueue_missing()
    assert await lines.queue.try_dequeue() is None


async def test_restoring_lines_up_what_has_no_job_and_nothing_else(lines: Lines) -> None:
    [[lost, held, waits]] = await lines.make(3)
    assert [await taken(lines.queue), await taken(lines.queue)] == [lost, held]
    lines.queue.complete(lost)  # although its shard is not
    restored: list[ShardJob] = []
    async with asyncio.timeout(PATIENCE):
        while lost not in restored:
            await lines.queue.enqueue_missing()
            while (job := await lines.queue.try_dequeue()) is not None:
                restored.append(job)
    assert sorted(restored) == [lost, waits]


async def test_the_jobs_of_batches_that_hurry_come_before_all_others(lines: Lines) -> None:
    (a0, a1), (b0, b1) = await lines.make(2, 2)
    await lines.queue.expedite([b0.batch_key])
    assert [await taken(lines.queue) for _ in range(4)] == [b0, b1, a0, a1]
