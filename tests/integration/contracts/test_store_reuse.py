"""The contract of every store for results that requests take over: once, and only while their batch has no plan."""

import pytest
from msgspec import structs

from batchgate.engine.model.claim import Claim
from batchgate.engine.model.errors import StaleClaim
from batchgate.engine.model.shard import ResultChunk
from batchgate.store.postgres import PostgresStore
from batchgate.store.sqlite import SqliteStore
from tests.support.stored_rows import chunk, claimed, input_of, new_batch

AnyStore = SqliteStore | PostgresStore


def reused(*seqs: int) -> ResultChunk:
    return structs.replace(chunk(*seqs), reused=len(seqs))


async def held_shards(store: AnyStore) -> list[Claim]:
    """Store a batch of two shards that has no plan."""
    new = structs.replace(new_batch("a", shards=2), planned=True)
    await store.add_orphan_blob(input_of(new))
    batch, jobs = await store.create_batch(new)
    assert not jobs
    return list(await store.list_shards(batch))


async def counts(store: AnyStore) -> tuple[int, int]:
    found = await store.find_batch("w", "a")
    assert found is not None
    return found.counts.succeeded, found.reused


async def test_a_request_takes_over_a_result_once(store: AnyStore) -> None:
    first, second = await held_shards(store)
    await store.append_reused(first, reused(1))
    await store.append_reused(first, reused(1))
    await store.append_reused(second, reused(2, 3))
    with pytest.raises(StaleClaim):
        await store.append_reused(first, reused(0, 1))
    assert await counts(store) == (3, 3)


async def test_after_the_plan_a_worker_runs_the_others_and_nothing_is_taken_over(store: AnyStore) -> None:
    shards = await held_shards(store)
    for claim, seqs in zip(shards, [(1,), (2, 3)], strict=True):
        await store.append_reused(claim, reused(*seqs))
    jobs = await store.save_plan(shards[0].batch.key, (), (0, 1)) or ()
    for claim in shards:
        with pytest.raises(StaleClaim):
            await store.append_reused(claim, reused(0))
    claims = [await claimed(store, job) for job in sorted(jobs)]
    assert [claim.finished for claim in claims] == [{1}, {2, 3}]
    with pytest.raises(StaleClaim):
        await store.append_reused(claims[0], reused(0))
    await store.append_chunk(claims[0], chunk(0), shard_done=True)
    assert await store.append_chunk(claims[1], chunk(), shard_done=True)
    assert await counts(store) == (4, 3)
