"""The contract of stores about retried calls: they add up in the batch, each chunk once, until the batch is deleted."""

import pytest
from msgspec import structs

from batchgate.engine.model.errors import StaleClaim
from batchgate.engine.model.retried_calls import RetriedCalls
from batchgate.engine.model.shard import ResultChunk
from batchgate.store.postgres import PostgresStore
from batchgate.store.sqlite import SqliteStore
from tests.support.stored_rows import chunk, claimed, create, end

AnyStore = SqliteStore | PostgresStore


def after(retried: tuple[RetriedCalls, ...], results: ResultChunk) -> ResultChunk:
    return structs.replace(results, retried=retried)


async def retried_calls(store: AnyStore) -> tuple[RetriedCalls, ...]:
    found = await store.find_batch("w", "a")
    assert found is not None
    return found.retried_calls


async def test_retried_calls_add_up_by_reason_the_most_frequent_first(store: AnyStore) -> None:
    batch, jobs = await create(store, "a", shards=2)
    assert await retried_calls(store) == ()
    first, second = [await claimed(store, job) for job in jobs]
    await store.append_chunk(first, after((RetriedCalls("timeout", 2),), chunk(0)), shard_done=False)
    await store.append_chunk(first, chunk(1, errored=1), shard_done=True)
    assert await retried_calls(store) == (RetriedCalls("timeout", 2),)
    more = (RetriedCalls("rate_limit", 3), RetriedCalls("timeout", 2))
    await store.append_chunk(second, after(more, chunk(2)), shard_done=False)
    assert await retried_calls(store) == (RetriedCalls("timeout", 4), RetriedCalls("rate_limit", 3))
    await store.append_chunk(second, chunk(3), shard_done=True)
    await end(store, batch, [])
    assert await retried_calls(store) == (RetriedCalls("timeout", 4), RetriedCalls("rate_limit", 3))


async def test_retried_calls_of_a_lost_claim_do_not_count(store: AnyStore) -> None:
    _, (job,) = await create(store, "a")
    lost = await claimed(store, job)
    await claimed(store, job)
    with pytest.raises(StaleClaim):
        await store.append_chunk(lost, after((RetriedCalls("overloaded", 1),), chunk(0)), shard_done=False)
    assert await retried_calls(store) == ()
