"""The contract of `Store` for the claims and the results of shards, on every database."""

import pytest

from batchgate.engine.model.errors import StaleClaim
from batchgate.engine.model.shard import ResultChunk
from batchgate.engine.model.usage import Counts
from batchgate.engine.ports.store import Store
from tests.support.databases import Database
from tests.support.stored_rows import EMPTY, chunk, claimed, create


async def test_the_first_shards_of_all_batches_come_before_second_shards(store: Store) -> None:
    first, _ = await create(store, "a", shards=2)
    second, _ = await create(store, "b", shards=2)
    line = [(job.batch_key, job.shard) for job in sorted(await store.unfinished_jobs())]
    assert line == [(first.key, 0), (second.key, 0), (first.key, 1), (second.key, 1)]


async def test_each_claim_of_a_shard_has_a_higher_epoch_and_the_finished_requests(store: Store) -> None:
    batch, (job,) = await create(store, "a")
    first = await claimed(store, job)
    assert first.finished == frozenset()
    await store.append_chunk(first, chunk(1), shard_done=False)
    second = await claimed(store, job)
    assert second.epoch > first.epoch
    assert second.finished == {1}
    found = await store.find_batch_by_key(batch.key)
    assert found is not None
    assert found.counts.succeeded == 1


async def test_a_stale_claim_writes_nothing(store: Store) -> None:
    batch, (job,) = await create(store, "a")
    stale = await claimed(store, job)
    fresh = await claimed(store, job)
    with pytest.raises(StaleClaim):
        await store.append_chunk(stale, chunk(0), shard_done=True)
    assert await store.read_chunks(batch.key, 0) == []
    assert await store.append_chunk(fresh, chunk(0, 1, errored=1), shard_done=True) is True
    with pytest.raises(StaleClaim):
        await store.append_chunk(fresh, chunk(0), shard_done=False)
    assert await store.claim_shard(job) is None
    found = await store.find_batch_by_key(batch.key)
    assert found is not None
    assert found.counts == Counts(total=2, succeeded=1, errored=1)


async def test_only_the_last_shard_makes_a_batch_finalizable(store: Store) -> None:
    batch, jobs = await create(store, "a", shards=2)
    assert await store.append_chunk(await claimed(store, jobs[0]), chunk(0, 1), shard_done=True) is False
    assert await store.finalizable_batches() == []
    assert await store.append_chunk(await claimed(store, jobs[1]), EMPTY, shard_done=True) is True
    assert await store.finalizable_batches() == [batch.key]


async def test_chunks_are_read_in_write_order_until_the_batch_has_ended(store: Store) -> None:
    batch, (job,) = await create(store, "a")
    claim = await claimed(store, job)
    await store.append_chunk(claim, chunk(1), shard_done=False)
    await store.append_chunk(claim, chunk(0), shard_done=True)
    assert await store.read_chunks(batch.key, 0) == [chunk(1), chunk(0)]
    counts = Counts(total=2, succeeded=2)
    await store.add_orphan_blob("r")
    assert await store.end_batch(batch.key, counts=counts, results_blob="r", results_size=5, now=7)
    await store.drop_chunks(batch.key)
    assert await store.read_chunks(batch.key, 0) == []
    found = await store.find_batch_by_key(batch.key)
    assert found is not None
    assert (found.status, found.counts, found.results_blob, found.ended_at) == ("ended", counts, "r", 7)
    assert await store.finalizable_batches() == []
    assert await store.unfinished_jobs() == []


async def test_the_next_claim_has_the_sent_requests_without_a_result(store: Store) -> None:
    batch, (job,) = await create(store, "a")
    first = await claimed(store, job)
    assert first.sent == frozenset()
    for seq in (0, 1):
        store.mark_sent(first, seq, sent=True)
    await store.append_chunk(first, chunk(0), shard_done=False)
    second = await claimed(store, job)
    assert second.finished == {0}
    assert second.sent == {1}
    store.mark_sent(second, 1, sent=False)
    third = await claimed(store, job)
    assert third.sent == frozenset()
    repeated = ResultChunk(seqs=(1,), lines=b"{}\n", succeeded=1, errored=0, repeated=1)
    await store.append_chunk(third, repeated, shard_done=True)
    found = await store.find_batch_by_key(batch.key)
    assert found is not None
    assert found.repeated == 1
    store.mark_sent(third, 1, sent=True)


async def test_a_reopened_store_has_its_data_and_releases_its_claims(database: Database) -> None:
    async with database.store() as store:
        _, jobs = await create(store, "a", shards=2)
        held = await claimed(store, jobs[0])
        await store.append_chunk(held, chunk(1), shard_done=False)
    async with database.store() as store:
        assert list(await store.unfinished_jobs()) == jobs
        again = await claimed(store, jobs[0])
        assert again.finished == {1}
        with pytest.raises(StaleClaim):
            await store.append_chunk(held, chunk(0), shard_done=False)
        assert (await store.cancel_batch("w", "a", 3)) is not None


async def test_a_released_shard_is_closed_by_a_cancel_as_if_never_claimed(store: Store) -> None:
    batch, (job,) = await create(store, "msgbatch_1")
    held = await claimed(store, job)
    await store.append_chunk(held, chunk(0), shard_done=False)
    assert (await store.backlog()).waiting_shards == 0
    await store.release_shard(held)
    assert (await store.backlog()).waiting_shards == 1
    await store.cancel_batch("w", batch.id, 2)
    assert await store.claim_shard(job) is None
    assert await store.finalizable_batches() == [batch.key]


async def test_only_the_current_claim_can_release_a_shard(store: Store) -> None:
    _, (job,) = await create(store, "msgbatch_1")
    stale = await claimed(store, job)
    fresh = await claimed(store, job)
    await store.release_shard(stale)
    assert (await store.backlog()).waiting_shards == 0
    assert await store.append_chunk(fresh, EMPTY, shard_done=True) is True
    await store.release_shard(fresh)
    assert await store.claim_shard(job) is None
