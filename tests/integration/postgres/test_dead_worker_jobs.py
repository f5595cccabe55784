"""The queue on Procrastinate when a worker dies or is wrongly considered dead: no worker ends the job of another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest

from batchgate.engine.model.batch import NewBatch
from batchgate.engine.model.errors import StoreError
from batchgate.engine.model.shard import QueuedShard, Shard
from batchgate.queue.procrastinate import STATEMENTS, ProcrastinateQueue
from batchgate.store.postgres import PostgresAddress, PostgresStore
from tests.support.postgres_server import fresh_database

TEST_TIMEOUT = 120.0  # seconds; only a state that never comes should exceed it
TIMEOUT = 1.2
"""Seconds within which another worker gets the jobs of a dead worker."""
LONGER_TIMEOUT = 3.0  # seconds, for tests that would fail on a busy machine


@pytest.fixture
def url() -> Iterator[str]:
    with fresh_database() as url:
        yield url


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresStore]:
    async with PostgresStore(PostgresAddress(url)) as store:
        yield store


async def create_jobs(store: PostgresStore, shards: int) -> list[QueuedShard]:
    await store.add_orphan_blob("input")
    new = NewBatch(
        id="batch",
        workspace="w",
        dialect="anthropic",
        provider="a",
        headers={},
        created_at=0,
        expires_at=1,
        input_blob="input",
        shards=tuple(
            Shard(index=index, first_seq=index, requests=1, offset=0, length=0, checksum=0) for index in range(shards)
        ),
    )
    _, jobs = await store.create_batch(new)
    return list(jobs)


async def dequeued(queue: ProcrastinateQueue) -> QueuedShard:
    async with asyncio.timeout(TEST_TIMEOUT):
        return await queue.dequeue()


async def statuses(url: str) -> list[str]:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        cursor = await connection.execute("SELECT status::text FROM procrastinate_jobs ORDER BY id")
        return [status for (status,) in await cursor.fetchall()]


async def evict(url: str, queue: ProcrastinateQueue) -> None:
    """Requeue the jobs of a queue's worker and delete the worker, as another worker does with a dead one."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(
            "SELECT procrastinate_retry_job_v2(id, NULL, NULL, NULL, NULL) FROM procrastinate_jobs "
            "WHERE status = 'doing' AND worker_id = %(worker)s",
            {"worker": queue._worker},
        )
        await connection.execute("DELETE FROM procrastinate_workers WHERE id = %(worker)s", {"worker": queue._worker})


def open_queue(url: str, timeout: float = TIMEOUT) -> ProcrastinateQueue:
    return ProcrastinateQueue(url, timeout=timeout)


async def test_another_worker_gets_the_jobs_of_a_dead_worker_within_the_timeout(
    url: str, store: PostgresStore, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = await create_jobs(store, 2)
    async with open_queue(url, LONGER_TIMEOUT) as living, open_queue(url, LONGER_TIMEOUT) as dead:
        assert [await dequeued(dead), await dequeued(dead)] == jobs
        for task in dead._tasks:
            task.cancel()
        started = asyncio.get_running_loop().time()
        assert [await dequeued(living), await dequeued(living)] == jobs
        assert asyncio.get_running_loop().time() - started < LONGER_TIMEOUT
    records = [record.__dict__ for record in caplog.records if getattr(record, "action", None) == "requeued"]
    assert {(record["batch"], record["workspace"]) for record in records} == {("batch", "w")}


async def test_a_job_whose_worker_never_got_the_answer_to_its_fetch_is_run(
    url: str, store: PostgresStore, caplog: pytest.LogCaptureFixture
) -> None:
    # The server was killed after the commit: the worker lived on with a job that it did not know, and the batch hung.
    held, lost = await create_jobs(store, 2)
    async with open_queue(url) as queue:
        assert await dequeued(queue) == held
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute(
                "UPDATE procrastinate_jobs SET status = 'doing', worker_id = %(worker)s WHERE status = 'todo'",
                {"worker": queue._worker},
            )
        assert await dequeued(queue) == lost
        assert await statuses(url) == ["doing", "doing"]
    actions = [record.__dict__.get("action") for record in caplog.records]
    assert actions.count("unheld_jobs_requeued") == 1


async def test_an_evicted_worker_does_not_end_the_job_of_another(url: str, store: PostgresStore) -> None:
    [job] = await create_jobs(store, 1)
    async with open_queue(url, 60.0) as evicted, open_queue(url, 60.0) as other:
        assert await dequeued(evicted) == job
        await evict(url, evicted)
        assert await dequeued(other) == job
        evicted.complete(job)
        await evicted._write_updates()
        assert await statuses(url) == ["doing"]
        evicted._held[job] = 1
        evicted.release(job)
        await evicted._write_updates()
        assert await statuses(url) == ["doing"]
        other.complete(job)
        await other._write_updates()
        assert await statuses(url) == []


async def test_an_evicted_worker_reports_it_and_registers_again_without_jobs(url: str, store: PostgresStore) -> None:
    jobs = await create_jobs(store, 2)
    notified = asyncio.Event()
    async with open_queue(url) as queue:
        queue.on_jobs_lost(notified.set)
        assert await dequeued(queue) == jobs[0]
        worker_before = queue._worker
        await evict(url, queue)
        async with asyncio.timeout(TEST_TIMEOUT):
            await notified.wait()
        assert [await dequeued(queue), await dequeued(queue)] == jobs
        assert queue._worker != worker_before


async def test_an_evicted_worker_notices_it_when_it_dequeues(url: str, store: PostgresStore) -> None:
    # The foreign key of the job rejects the id of a deleted worker.
    jobs = await create_jobs(store, 1)
    notified: list[bool] = []
    async with open_queue(url, 60.0) as queue:
        queue.on_jobs_lost(lambda: notified.append(True))
        await evict(url, queue)
        with pytest.raises(StoreError):
            await queue.try_dequeue()
        assert notified
        assert await dequeued(queue) == jobs[0]


async def test_held_jobs_are_released_at_the_end(url: str, store: PostgresStore) -> None:
    await create_jobs(store, 2)
    async with open_queue(url) as queue:
        await dequeued(queue)
        assert await statuses(url) == ["doing", "todo"]
    assert await statuses(url) == ["todo", "todo"]


async def test_after_an_outage_no_worker_is_evicted_before_all_could_send_heartbeats(
    url: str, store: PostgresStore
) -> None:
    jobs = await create_jobs(store, 1)
    async with open_queue(url) as first, open_queue(url) as second:
        assert await dequeued(first) == jobs[0]
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            # While no worker can write heartbeats, all workers look dead.
            await connection.execute("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 hour'")
        first._heartbeats._last = second._heartbeats._last = float("-inf")
        await asyncio.sleep(TIMEOUT)  # nothing must happen in this time
        assert await second.try_dequeue() is None
        assert await statuses(url) == ["doing"]


async def test_a_worker_that_pauses_after_a_statement_keeps_no_row_locked(url: str) -> None:
    # Otherwise a worker that is paused between a heartbeat and its commit would block its eviction by the others.
    async with open_queue(url, 60.0) as paused, paused._connector.pool.connection() as connection:
        await connection.execute(STATEMENTS["record_heartbeat"].encode(), {"worker_id": paused._worker})
        await evict(url, paused)


async def test_jobs_without_a_worker_are_requeued_by_the_next_heartbeat(url: str, store: PostgresStore) -> None:
    # Such as the jobs of a worker that died right after the others had looked for jobs of dead workers.
    jobs = await create_jobs(store, 1)
    async with open_queue(url) as gone, open_queue(url, LONGER_TIMEOUT) as living:
        assert await dequeued(gone) == jobs[0]
        for task in gone._tasks:
            task.cancel()
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute("DELETE FROM procrastinate_workers WHERE id = %s", (gone._worker,))
        assert await dequeued(living) == jobs[0]


async def test_a_job_that_is_fetched_during_an_eviction_is_not_held(url: str, store: PostgresStore) -> None:
    jobs = await create_jobs(store, 1)
    async with open_queue(url, 60.0) as queue:
        dequeuing = asyncio.create_task(queue.try_dequeue())
        for _ in range(3):  # the fetch is sent by then, and no response can have arrived
            await asyncio.sleep(0)
        assert queue._worker is not None
        queue._handle_eviction(queue._worker)
        assert await dequeuing is None
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute("DELETE FROM procrastinate_workers")
        await queue.enqueue_missing()
        assert await dequeued(queue) == jobs[0]
