"""Native jobs on a database that several processes share, and the queue jobs of held shards."""

import asyncio

import pytest

from batchgate.engine.model.errors import StaleClaim
from batchgate.engine.model.native_job import NativeJob
from batchgate.engine.model.shard import QueuedShard
from batchgate.queue.procrastinate import ProcrastinateQueue
from batchgate.store.postgres import PostgresStore
from tests.support.database_observer import DatabaseObserver
from tests.support.native_jobs import ended, planned, planned_with, taken, unplanned
from tests.support.stored_rows import EMPTY, chunk, claimed, end

Stores = tuple[PostgresStore, PostgresStore]

QUEUED = "SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"
LOCK_BATCH = "SELECT 1 FROM batches WHERE key = %(key)s FOR UPDATE"
LOCK_JOBS = "SELECT 1 FROM native_jobs FOR UPDATE"
LOCK_SHARDS = "SELECT 1 FROM shards FOR UPDATE"
TIMEOUT = 20.0  # seconds


async def dequeued(queue: ProcrastinateQueue) -> QueuedShard:
    async with asyncio.timeout(TIMEOUT):
        return await queue.dequeue()


async def end_native_job(store: PostgresStore, job: NativeJob) -> list[QueuedShard]:
    return list(await store.end_job(ended(job)))


async def test_of_two_processes_that_take_the_jobs_at_once_one_can_write(
    stores: Stores, observer: DatabaseObserver
) -> None:
    await planned_with(stores[0], "a", [(0,), (1,), (2,)], direct=[], shards=2)
    with observer.holding_locks(LOCK_JOBS):
        taking = [asyncio.create_task(store.take_jobs()) for store in stores]
        await observer.wait_for_lock_waiters(2)
    both = await asyncio.gather(*taking)
    writers = set()
    for process, jobs in enumerate(both):
        assert len(jobs) == 3
        for job in jobs:
            try:
                await stores[process].save_job(job)
                writers.add((process, job.key))
            except StaleClaim:
                pass
    assert len(writers) == 3
    assert len({process for process, _ in writers}) == 1
    assert {job.epoch for jobs in both for job in jobs} == {1, 2}


async def test_of_two_processes_that_plan_a_batch_at_once_one_saves_its_plan(
    stores: Stores, observer: DatabaseObserver
) -> None:
    batch = await unplanned(stores[0], "a", shards=2)
    with observer.holding_locks(LOCK_BATCH, key=batch.key):
        plans = [asyncio.create_task(store.save_plan(batch.key, [planned(batch, 0)], [1])) for store in stores]
        await observer.wait_for_lock_waiters(2)
    assert sorted(len(released) if released is not None else -1 for released in await asyncio.gather(*plans)) == [-1, 1]
    assert len(await stores[0].jobs_of(batch.key)) == 1
    assert observer.value(QUEUED) == 1


async def test_results_wait_for_a_process_that_takes_the_jobs_and_are_refused_then(
    stores: Stores, observer: DatabaseObserver
) -> None:
    batch, _ = await planned_with(stores[0], "a", [(0, 1)], direct=[])
    old = await taken(stores[0])
    with observer.holding_locks(LOCK_JOBS):
        taking = asyncio.create_task(stores[1].take_jobs())
        await observer.wait_for_lock_waiters(1)
        writing = asyncio.create_task(stores[0].append_native_results(old, {0: chunk(0)}))
        await observer.wait_for_lock_waiters(2)
    await taking
    with pytest.raises(StaleClaim):
        await writing
    assert await stores[0].read_chunks(batch.key, 0) == []


@pytest.mark.parametrize("first", ["hold", "end"])
async def test_a_shard_that_is_held_while_its_job_ends_runs_again(
    stores: Stores, observer: DatabaseObserver, first: str
) -> None:
    batch, jobs = await planned_with(stores[0], "a", [(1,)], direct=[0])
    claim, job = await claimed(stores[0], jobs[0]), await taken(stores[1])
    with observer.holding_locks(LOCK_BATCH, key=batch.key):
        if first == "hold":
            holding = asyncio.create_task(stores[0].hold_shard(claim))
            await observer.wait_for_lock_waiters(1)
        ending = asyncio.create_task(end_native_job(stores[1], job))
        await observer.wait_for_lock_waiters(2 if first == "hold" else 1)
        if first == "end":
            holding = asyncio.create_task(stores[0].hold_shard(claim))
            await observer.wait_for_lock_waiters(2)
    assert await holding is (first == "hold")
    assert await ending == (jobs if first == "hold" else [])
    assert await stores[0].unfinished_jobs() == jobs
    assert observer.value(QUEUED) == 1


async def test_a_claim_that_waits_for_the_end_of_a_job_withholds_nothing_of_it(
    stores: Stores, observer: DatabaseObserver
) -> None:
    batch, jobs = await planned_with(stores[0], "a", [(1,)], direct=[0])
    job = await taken(stores[1])
    with observer.holding_locks(LOCK_SHARDS):
        claiming = asyncio.create_task(stores[0].claim_shard(jobs[0]))
        await observer.wait_for_lock_waiters(1)
        await stores[1].end_job(ended(job))
    claim = await claiming
    assert claim is not None
    assert claim.withheld == frozenset()
    assert batch.key == claim.batch.key


async def test_a_held_shard_has_no_queue_job_until_it_is_released(
    stores: Stores, url: str, observer: DatabaseObserver
) -> None:
    async with ProcrastinateQueue(url, timeout=30.0) as queue:
        batch = await unplanned(stores[0], "a", shards=2)
        await queue.enqueue_missing()
        assert observer.value(QUEUED) == 0
        await stores[0].save_plan(batch.key, [planned(batch, 1, 2, 3)], [0])
        await queue.enqueue_missing()
        job = await dequeued(queue)
        assert job.shard == 0
        assert observer.value(QUEUED) == 1
        assert await stores[0].hold_shard(await claimed(stores[0], job)) is True
        queue.complete(job)
        await queue.enqueue_missing()
        assert observer.value(QUEUED) == 0
        await stores[0].end_job(ended(await taken(stores[0])))
        assert [(await dequeued(queue)).shard for _ in range(2)] == [0, 1]
        assert await queue.try_dequeue() is None


async def test_a_shard_whose_worker_died_after_it_held_it_is_released_with_one_queue_job(
    stores: Stores, url: str, observer: DatabaseObserver
) -> None:
    _, jobs = await planned_with(stores[0], "a", [(1,)], direct=[0])
    async with ProcrastinateQueue(url, timeout=30.0) as dead:
        job = await dequeued(dead)
        claim = await claimed(stores[0], job)
        # The worker counts as dead before it holds the shard, so its queue job has no worker.
        observer.connection.execute("DELETE FROM procrastinate_workers")
        assert await stores[0].hold_shard(claim) is True
        async with ProcrastinateQueue(url, timeout=30.0) as queue:
            await queue.enqueue_missing()
            assert observer.value(QUEUED) == 1
            assert list(await stores[0].end_job(ended(await taken(stores[0])))) == jobs
            assert await dequeued(queue) == job
            assert await queue.try_dequeue() is None
            assert (await claimed(stores[0], job)).withheld == frozenset()


async def test_concurrent_takers_collectors_workers_and_cancels_lose_nothing(
    stores: Stores, observer: DatabaseObserver
) -> None:
    batch, jobs = await planned_with(stores[0], "a", [(1, 3), (5, 7)], direct=[0, 1, 2, 3], shards=4)
    current = {job.key: job for job in await stores[0].take_jobs()}
    claims = [await claimed(stores[0], job) for job in jobs]
    for claim in claims:
        seq = claim.shard.first_seq
        job = current[min(current) if claim.shard.index < 2 else max(current)]
        await asyncio.gather(
            stores[0].append_native_results(job, {claim.shard.index: chunk(seq + 1)}),
            stores[1].append_chunk(claim, chunk(seq), shard_done=False),
            stores[1].save_job(job),
            stores[0].expire_batch(batch.key, 1500),
        )
    takers = [store.take_jobs() for store in stores for _ in range(5)]
    holds = [stores[0].hold_shard(claim) for claim in claims]
    await asyncio.gather(*takers, *holds, stores[1].cancel_batch("w", "a", 3))
    for last in await stores[0].take_jobs():
        await stores[0].end_job(ended(last))
    found = await stores[0].find_batch_by_key(batch.key)
    assert found is not None
    assert found.counts.succeeded == 8
    for shard in await stores[0].unfinished_jobs():
        await stores[0].append_chunk(await claimed(stores[0], shard), EMPTY, shard_done=True)
    await end(stores[0], found, [])
    await stores[0].delete_batch("w", "a", 3000)
    assert observer.value("SELECT count(*) FROM native_jobs") == 0
