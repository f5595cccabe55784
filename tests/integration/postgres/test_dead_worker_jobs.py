"""The queue on Procrastinate when a worker dies, or is only taken for dead: nobody ends what another one has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import psycopg
import pytest

from batchgate.engine.model.batch import NewBatch
from batchgate.engine.model.errors import StoreError
from batchgate.engine.model.shard import Shard, ShardJob
from batchgate.queue.procrastinate import STATEMENTS, ProcrastinateQueue
from batchgate.store.postgres import Address, PostgresStore
from tests.support.postgres_server import fresh_database

PATIENCE = 10.0  # seconds
TIMEOUT = 1.2
"""Seconds within which the jobs of a dead worker are somebody else's."""
LONGER = 3.0  # seconds likewise, where a busy machine must not make the difference


@pytest.fixture
def url() -> Iterator[str]:
    with fresh_database() as url:
        yield url


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresStore]:
    async with PostgresStore(Address(url)) as store:
        yield store


async def line_up(store: PostgresStore, shards: int) -> list[ShardJob]:
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


async def taken(queue: ProcrastinateQueue) -> ShardJob:
    async with asyncio.timeout(PATIENCE):
        return await queue.dequeue()


async def statuses(url: str) -> list[str]:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        cursor = await connection.execute("SELECT status::text FROM procrastinate_jobs ORDER BY id")
        return [status for (status,) in await cursor.fetchall()]


async def bury(url: str, queue: ProcrastinateQueue) -> None:
    """Take the worker of a queue for dead, and give its jobs back, as another one does."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(
            "SELECT procrastinate_retry_job_v2(id, NULL, NULL, NULL, NULL) FROM procrastinate_jobs "
            "WHERE status = 'doing' AND worker_id = %(worker)s",
            {"worker": queue._worker},
        )
        await connection.execute("DELETE FROM procrastinate_workers WHERE id = %(worker)s", {"worker": queue._worker})


def queue_on(url: str, timeout: float = TIMEOUT) -> ProcrastinateQueue:
    return ProcrastinateQueue(url, timeout=timeout)


async def test_the_jobs_of_a_worker_that_is_not_seen_any_more_are_taken_by_another_within_the_timeout(
    url: str, store: PostgresStore, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = await line_up(store, 2)
    async with queue_on(url, LONGER) as living, queue_on(url, LONGER) as dead:
        assert [await taken(dead), await taken(dead)] == jobs
        for task in dead._tasks:
            task.cancel()
        begun = asyncio.get_running_loop().time()
        assert [await taken(living), await taken(living)] == jobs
        assert asyncio.get_running_loop().time() - begun < LONGER
    told = [record.__dict__ for record in caplog.records if getattr(record, "action", None) == "requeued"]
    assert {(record["batch"], record["workspace"]) for record in told} == {("batch", "w")}


async def test_who_was_taken_for_dead_ends_no_job_that_another_has(url: str, store: PostgresStore) -> None:
    [job] = await line_up(store, 1)
    async with queue_on(url, 60.0) as zombie, queue_on(url, 60.0) as other:
        assert await taken(zombie) == job
        await bury(url, zombie)
        assert await taken(other) == job
        zombie.complete(job)
        await zombie._tell()
        assert await statuses(url) == ["doing"]
        zombie._held[job] = 1
        zombie.release(job)
        await zombie._tell()
        assert await statuses(url) == ["doing"]
        other.complete(job)
        await other._tell()
        assert await statuses(url) == []


async def test_who_finds_that_it_was_taken_for_dead_says_so_holds_nothing_and_is_a_new_worker(
    url: str, store: PostgresStore
) -> None:
    jobs = await line_up(store, 2)
    told = asyncio.Event()
    async with queue_on(url) as queue:
        queue.on_jobs_lost(told.set)
        assert await taken(queue) == jobs[0]
        before = queue._worker
        await bury(url, queue)
        async with asyncio.timeout(PATIENCE):
            await told.wait()
        assert [await taken(queue), await taken(queue)] == jobs
        assert queue._worker != before


async def test_a_worker_that_was_taken_for_dead_finds_out_when_it_takes_a_job(url: str, store: PostgresStore) -> None:
    # The foreign key of the job refuses the number of a worker that is gone.
    jobs = await line_up(store, 1)
    told: list[bool] = []
    async with queue_on(url, 60.0) as queue:
        queue.on_jobs_lost(lambda: told.append(True))
        await bury(url, queue)
        with pytest.raises(StoreError):
            await queue.try_dequeue()
        assert told
        assert await taken(queue) == jobs[0]


async def test_whatever_is_held_is_given_back_at_the_end(url: str, store: PostgresStore) -> None:
    await line_up(store, 2)
    async with queue_on(url) as queue:
        await taken(queue)
        assert await statuses(url) == ["doing", "todo"]
    assert await statuses(url) == ["todo", "todo"]


async def test_after_an_outage_nobody_is_taken_for_dead_before_all_could_be_seen_again(
    url: str, store: PostgresStore
) -> None:
    jobs = await line_up(store, 1)
    async with queue_on(url) as first, queue_on(url) as second:
        assert await taken(first) == jobs[0]
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            # As long as nobody can write heartbeats, everybody looks dead.
            await connection.execute("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 hour'")
        first._heartbeats._last = second._heartbeats._last = float("-inf")
        await asyncio.sleep(TIMEOUT)  # time in which nothing is to happen
        assert await second.try_dequeue() is None
        assert await statuses(url) == ["doing"]


async def test_a_worker_that_stands_still_right_after_a_statement_keeps_no_row_locked(url: str) -> None:
    # Who is paused between a heartbeat and its commit could not be taken away, and all others would wait for it.
    async with queue_on(url, 60.0) as paused, paused._connector.pool.connection() as connection:
        await connection.execute(STATEMENTS["beat"].encode(), {"worker_id": paused._worker})
        await bury(url, paused)


async def test_the_jobs_of_a_worker_that_is_not_there_any_more_are_found_by_the_next_beat(
    url: str, store: PostgresStore
) -> None:
    # Such as those of one that died right after the others had looked for what the dead held.
    jobs = await line_up(store, 1)
    async with queue_on(url) as gone, queue_on(url, LONGER) as living:
        assert await taken(gone) == jobs[0]
        for task in gone._tasks:
            task.cancel()
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute("DELETE FROM procrastinate_workers WHERE id = %s", (gone._worker,))
        assert await taken(living) == jobs[0]


async def test_what_was_taken_by_a_worker_that_is_dead_by_the_time_it_hears_of_it_is_not_held(
    url: str, store: PostgresStore
) -> None:
    jobs = await line_up(store, 1)
    async with queue_on(url, 60.0) as queue:
        taking = asyncio.create_task(queue.try_dequeue())
        for _ in range(3):  # it has asked by then, and no answer can be there
            await asyncio.sleep(0)
        assert queue._worker is not None
        queue._lose(queue._worker)
        assert await taking is None
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute("DELETE FROM procrastinate_workers")
        await queue.enqueue_missing()
        assert await taken(queue) == jobs[0]
