"""The contract of stores about the series of a batch: results count in their period, once, until it is deleted."""

import pytest
from msgspec import structs

from batchgate.engine.model.clock import HOUR, MICROSECONDS
from batchgate.engine.model.errors import StaleClaim
from batchgate.engine.model.fail_fast import CalledModel
from batchgate.engine.model.price import Spend
from batchgate.engine.model.series import MINUTE, CallFacts, CallTotals, PeriodTotals
from batchgate.engine.model.shard import ResultChunk, ResultLine, chunk_of
from batchgate.store.postgres import PostgresStore
from batchgate.store.sqlite import SqliteStore
from tests.support.stored_rows import chunk, claimed, create, end

AnyStore = SqliteStore | PostgresStore
CREATED = 90 * MICROSECONDS
MODEL = CalledModel("openai", "gpt")


def called(seq: int, seconds: float, limit: int) -> ResultLine:
    call = CallFacts(duration=round(seconds * MICROSECONDS), limit=limit)
    spend = Spend(direct=5)
    return ResultLine(seq=seq, status="succeeded", line=b"{}\n", spend=spend, called=MODEL, call=call)


def at(results: ResultChunk, time: int) -> ResultChunk:
    return structs.replace(results, at=time)


async def test_results_are_added_to_their_period(store: AnyStore) -> None:
    batch, jobs = await create(store, "a", at=CREATED, shards=3)
    claim, second, third = [await claimed(store, job) for job in jobs]
    assert await store.series_of(batch.key) == []
    first = chunk_of([called(0, 2, limit=8), called(1, 4, limit=9)], at=CREATED + 1)
    await store.append_chunk(claim, first, shard_done=False)
    await store.append_chunk(second, at(chunk(2, errored=1), CREATED + MINUTE - 1), shard_done=False)
    await store.append_chunk(second, chunk_of([called(3, 3, limit=7)], at=CREATED + MINUTE - 1), shard_done=False)
    later = CREATED + 7 * HOUR + 7 * MINUTE
    await store.append_chunk(third, at(chunk(4), later), shard_done=False)
    calls = CallTotals(calls=3, duration=9 * MICROSECONDS, longest=4 * MICROSECONDS, limit=7)
    assert await store.series_of(batch.key) == [
        PeriodTotals(at=CREATED, succeeded=3, failed=1, cost=15, calls=calls),
        PeriodTotals(at=CREATED + 7 * HOUR + 5 * MINUTE, succeeded=1, failed=0, cost=0, calls=CallTotals()),
    ]


async def test_results_of_a_lost_claim_and_of_a_clock_that_was_set_back_do_no_harm(store: AnyStore) -> None:
    batch, (job,) = await create(store, "a", at=CREATED)
    lost = await claimed(store, job)
    claim = await claimed(store, job)
    with pytest.raises(StaleClaim):
        await store.append_chunk(lost, at(chunk(0), CREATED), shard_done=False)
    await store.append_chunk(claim, at(chunk(0), CREATED - HOUR), shard_done=False)
    (period,) = await store.series_of(batch.key)
    assert (period.at, period.succeeded) == (CREATED, 1)


async def test_the_series_ends_with_the_results(store: AnyStore) -> None:
    batch, (job,) = await create(store, "a", at=CREATED)
    await store.append_chunk(await claimed(store, job), at(chunk(0, 1), CREATED), shard_done=False)
    await end(store, batch, [job])
    assert len(await store.series_of(batch.key)) == 1
    await store.delete_batch("w", "a", 9)
    assert await store.series_of(batch.key) == []


async def test_a_shard_is_found_by_its_requests(store: AnyStore) -> None:
    batch, _ = await create(store, "a", shards=3)
    found = [await store.find_shard(batch.key, seq) for seq in range(7)]
    assert [shard.index if shard else None for shard in found] == [0, 0, 1, 1, 2, 2, None]
