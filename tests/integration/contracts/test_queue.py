"""The contract of `Queue`, on every implementation; the jobs are those of shards in a store."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import msgspec
import pytest

from batchgate.engine.model.batch import NewBatch, ValidatedInput
from batchgate.engine.model.shard import QueuedShard, ResultChunk, Shard
from batchgate.engine.model.steering import Action, Pause, Resume
from batchgate.engine.ports.queue import Queue
from batchgate.queue import MemoryQueue
from batchgate.queue.procrastinate import ProcrastinateQueue
from batchgate.store.postgres import PostgresStore
from batchgate.store.sqlite import SqliteStore
from tests.support.databases import Database

TEST_TIMEOUT = 120.0  # seconds; only a state that never comes should exceed it


@dataclass
class QueueAndStore:
    """A queue, and the store of its shards."""

    queue: Queue
    store: SqliteStore | PostgresStore

    async def steer(self, batch_id: str, action: Action) -> None:
        """Pause or resume a batch."""
        await self.store.steering.steer_batch("w", batch_id, action, by="", now=0)

    async def create_batches(self, *shards_of_batches: int) -> list[list[QueuedShard]]:
        """Store batches with the given numbers of shards, and enqueue their jobs."""
        made = []
        for number, shards in enumerate(shards_of_batches):
            await self.store.add_orphan_blob(f"input {number}")
            _, jobs = await self.store.create_batch(new_batch(number, shards))
            self.queue.enqueue(jobs)
            made.append(list(jobs))
        return made

    async def finish(self, job: QueuedShard) -> None:
        """Finish the shard of a job, as a worker does."""
        claim = await self.store.claim_shard(job)
        assert claim is not None
        await self.store.append_chunk(claim, ResultChunk(seqs=(), lines=b"", succeeded=0, errored=0), shard_done=True)


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
async def setup(database: Database) -> AsyncIterator[QueueAndStore]:
    async with AsyncExitStack() as stack:
        store: SqliteStore | PostgresStore = await stack.enter_async_context(database.store())
        queue: Queue = MemoryQueue(store.unfinished_jobs)
        if database.url is not None:
            queue = await stack.enter_async_context(ProcrastinateQueue(database.url, timeout=30.0))
        yield QueueAndStore(queue, store)


async def dequeued(queue: Queue) -> QueuedShard:
    async with asyncio.timeout(TEST_TIMEOUT):
        return await queue.dequeue()


async def test_jobs_are_dequeued_by_priority_and_then_by_age_of_the_batch(setup: QueueAndStore) -> None:
    (a0, a1), (b0, b1) = await setup.create_batches(2, 2)
    assert [await dequeued(setup.queue) for _ in range(4)] == [a0, b0, a1, b1]
    assert await setup.queue.try_dequeue() is None


async def test_a_waiting_dequeue_gets_the_next_job(setup: QueueAndStore) -> None:
    waiting = asyncio.create_task(dequeued(setup.queue))
    await asyncio.sleep(0)
    assert not waiting.done()
    [[job]] = await setup.create_batches(1)
    assert await waiting == job


async def test_a_cancelled_dequeue_loses_no_job(setup: QueueAndStore) -> None:
    waiting = asyncio.create_task(setup.queue.dequeue())
    await asyncio.sleep(0)
    waiting.cancel()
    [[job]] = await setup.create_batches(1)
    await asyncio.gather(waiting, return_exceptions=True)
    assert await dequeued(setup.queue) == job


async def test_a_released_job_is_dequeued_again(setup: QueueAndStore) -> None:
    [[first, second]] = await setup.create_batches(2)
    assert await dequeued(setup.queue) == first
    setup.queue.release(first)
    assert {await dequeued(setup.queue), await dequeued(setup.queue)} == {first, second}


async def test_a_job_that_is_released_with_a_delay_is_dequeued_after_it(setup: QueueAndStore) -> None:
    [[first, second]] = await setup.create_batches(2)
    assert await dequeued(setup.queue) == first
    started = asyncio.get_running_loop().time()
    setup.queue.release(first, delay=0.5)
    assert await dequeued(setup.queue) == second
    assert await dequeued(setup.queue) == first
    assert asyncio.get_running_loop().time() - started >= 0.5


async def test_a_completed_job_is_not_dequeued_again(setup: QueueAndStore) -> None:
    [[job]] = await setup.create_batches(1)
    assert await dequeued(setup.queue) == job
    await setup.finish(job)
    setup.queue.complete(job)
    await setup.queue.enqueue_missing()
    assert await setup.queue.try_dequeue() is None


async def test_enqueue_missing_adds_only_shards_without_a_job(setup: QueueAndStore) -> None:
    [[lost, held, waits]] = await setup.create_batches(3)
    assert [await dequeued(setup.queue), await dequeued(setup.queue)] == [lost, held]
    setup.queue.complete(lost)  # although its shard is not done
    restored: list[QueuedShard] = []
    async with asyncio.timeout(TEST_TIMEOUT):
        while lost not in restored:
            await setup.queue.enqueue_missing()
            while (job := await setup.queue.try_dequeue()) is not None:
                restored.append(job)
    assert sorted(restored) == [lost, waits]


async def test_the_jobs_of_a_paused_batch_leave_the_queue_until_it_is_resumed(setup: QueueAndStore) -> None:
    (held, waits), (other,) = await setup.create_batches(2, 1)
    assert await dequeued(setup.queue) == held
    await setup.steer("batch_0", Pause())
    setup.queue.withdraw({held.batch_key})
    setup.queue.complete(held)
    await setup.queue.enqueue_missing()
    assert await dequeued(setup.queue) == other
    assert await setup.queue.try_dequeue() is None
    await setup.steer("batch_0", Resume())
    await setup.queue.enqueue_missing()
    assert [await dequeued(setup.queue), await dequeued(setup.queue)] == [held, waits]


async def test_a_batch_that_is_paused_before_it_has_shards_gets_no_jobs_until_it_is_resumed(
    setup: QueueAndStore,
) -> None:
    # Each of its jobs was dequeued, and its claim refused: a thousand steps before the first job of another batch.
    new = msgspec.structs.replace(new_batch(0, 2), input_blob=None, shards=())
    batch, _ = await setup.store.create_batch(new)
    await setup.steer("batch_0", Pause())
    await setup.store.add_orphan_blob("input 0")
    validated = ValidatedInput(input_blob="input 0", shards=(shard(0), shard(1)), providers=())
    jobs = await setup.store.start_batch(batch.key, validated, 1)
    assert not jobs
    assert await setup.queue.try_dequeue() is None
    await setup.steer("batch_0", Resume())
    await setup.queue.enqueue_missing()
    assert [(await dequeued(setup.queue)).shard for _ in range(2)] == [0, 1]


async def test_the_jobs_of_expedited_batches_come_first(setup: QueueAndStore) -> None:
    (a0, a1), (b0, b1) = await setup.create_batches(2, 2)
    await setup.queue.expedite([b0.batch_key])
    assert [await dequeued(setup.queue) for _ in range(4)] == [b0, b1, a0, a1]
