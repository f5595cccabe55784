"""The contract of every store for the pace of a batch: it counts what direct calls have finished, once."""

import pytest
from msgspec import structs

from batchgate.engine.model.errors import StaleClaim
from batchgate.engine.model.pace import CallPeriod, Pace
from batchgate.engine.model.shard import ResultChunk
from batchgate.engine.model.steering import MoveDeadline, Pause, Resume
from batchgate.store.postgres import PostgresStore
from batchgate.store.sqlite import SqliteStore
from tests.support.stored_rows import chunk, claimed, create, end

AnyStore = SqliteStore | PostgresStore
SECOND = 1_000_000


def of_calls(results: ResultChunk, since: int, until: int) -> ResultChunk:
    return structs.replace(results, calls=CallPeriod(since=since * SECOND, until=until * SECOND))


async def pace(store: AnyStore) -> Pace | None:
    found = await store.find_batch("w", "a")
    assert found is not None
    return found.pace


async def test_the_pace_counts_the_results_of_calls_and_no_others(store: AnyStore) -> None:
    _, (job,) = await create(store, "a", at=SECOND)
    claim = await claimed(store, job)
    assert await pace(store) is None
    await store.append_chunk(claim, of_calls(chunk(0, errored=1), 1, 5), shard_done=False)
    found = await pace(store)
    assert found is not None
    assert (found.since, found.at, found.finished) == (SECOND, 5 * SECOND, 1)
    await store.append_chunk(claim, chunk(1), shard_done=False)
    assert await pace(store) == found


async def test_a_chunk_under_a_lost_claim_does_not_count(store: AnyStore) -> None:
    _, (job,) = await create(store, "a")
    claim = await claimed(store, job)
    await claimed(store, job)
    with pytest.raises(StaleClaim):
        await store.append_chunk(claim, of_calls(chunk(0), 1, 5), shard_done=False)
    assert await pace(store) is None


async def test_two_runs_of_a_batch_have_one_pace(store: AnyStore) -> None:
    _, jobs = await create(store, "a", shards=2)
    for number, job in enumerate(jobs):
        claim = await claimed(store, job)
        results = of_calls(chunk(2 * number, 2 * number + 1), 1 + number, 9 - number)
        await store.append_chunk(claim, results, shard_done=False)
    found = await pace(store)
    assert found is not None
    assert (found.since, found.at, found.finished) == (SECOND, 9 * SECOND, 4)


async def test_a_paused_batch_has_no_pace_and_a_resumed_one_gets_a_new_one(store: AnyStore) -> None:
    _, (job,) = await create(store, "a", at=1000)
    claim = await claimed(store, job)
    await store.append_chunk(claim, of_calls(chunk(0), 1, 5), shard_done=False)
    moved = await store.steering.steer_batch("w", "a", MoveDeadline(expires_at=9999), by="", now=1100)
    assert moved is not None
    assert moved.pace == await pace(store) is not None
    paused = await store.steering.steer_batch("w", "a", Pause(), by="", now=1200)
    assert paused is not None
    assert paused == await store.find_batch("w", "a")
    await store.append_chunk(claim, of_calls(chunk(1), 1, 6), shard_done=False)
    assert await pace(store) is None
    await store.steering.steer_batch("w", "a", Resume(), by="", now=1300)
    assert await pace(store) is None


async def test_an_ended_batch_has_no_pace(store: AnyStore) -> None:
    batch, jobs = await create(store, "a", shards=2)
    await store.append_chunk(await claimed(store, jobs[0]), of_calls(chunk(0, 1), 1, 5), shard_done=False)
    assert await pace(store) is not None
    await end(store, batch, jobs)
    assert await pace(store) is None
