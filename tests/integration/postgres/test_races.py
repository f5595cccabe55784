"""Races between two stores on one database, which cannot happen on SQLite; each was anticipated, or found once."""

import asyncio
import random
from collections.abc import Coroutine, Sequence
from typing import Any

import msgspec
import pytest

from batchgate.engine.model.batch import Batch
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.errors import StaleClaim
from batchgate.engine.model.failure import Failure, failure_groups
from batchgate.engine.model.shard import QueuedShard, ResultChunk
from batchgate.engine.model.usage import Counts
from batchgate.engine.ports.store import Store
from batchgate.store.postgres import PostgresStore
from tests.integration.contracts.test_store_validation import begin, finish, submit
from tests.support.database_observer import DatabaseObserver
from tests.support.stored_rows import EMPTY, chunk, claimed, create, create_file, end, input_of, new_batch

Stores = tuple[PostgresStore, PostgresStore]

LOCK_BATCH = "SELECT 1 FROM batches WHERE key = %(key)s FOR UPDATE"
WRONG_COUNTS = """
SELECT count(*) FROM batches WHERE ended_at IS NULL AND status <> 'validating'
    AND open_shards <> (SELECT count(*) FROM shards WHERE batch_key = key AND NOT done)
"""


@pytest.mark.parametrize("closed_by", ["cancel", "expire"])
@pytest.mark.parametrize("starts_first", ["append", "close"])
async def test_a_batch_ends_although_its_last_write_and_its_cancel_are_concurrent(
    stores: Stores, observer: DatabaseObserver, closed_by: str, starts_first: str
) -> None:
    # Both change the number of open shards. A count that started before the other's commit would be stale: with one
    # shard too many, the batch would never end.
    batch, jobs = await create(stores[0], "a", shards=3)
    held = await claimed(stores[0], jobs[0])

    async def close() -> object:
        if closed_by == "cancel":
            return await stores[1].cancel_batch("w", "a", 5)
        await stores[1].expire_batch(batch.key, 1500)
        return None

    async def append() -> object:
        return await stores[0].append_chunk(held, chunk(0), shard_done=True)

    with observer.holding_locks(LOCK_BATCH, key=batch.key):
        calls = {"append": append, "close": close}
        tasks = [asyncio.create_task(calls.pop(starts_first)())]
        await observer.wait_for_lock_waiters(1)
        tasks += [asyncio.create_task(call()) for call in calls.values()]
        await observer.wait_for_lock_waiters(2)
    await asyncio.gather(*tasks)
    assert observer.value(WRONG_COUNTS) == 0
    assert await stores[0].finalizable_batches() == [batch.key]


async def test_a_cancel_during_the_end_of_a_batch_returns_it_ended(stores: Stores, observer: DatabaseObserver) -> None:
    batch, (job,) = await create(stores[0], "a")
    await stores[0].append_chunk(await claimed(stores[0], job), chunk(0, 1), shard_done=True)
    with observer.holding_locks(LOCK_BATCH, key=batch.key):
        ending = asyncio.create_task(end(stores[0], batch, []))
        await observer.wait_for_lock_waiters(1)
        cancel = asyncio.create_task(stores[1].cancel_batch("w", "a", 5))
        await observer.wait_for_lock_waiters(2)
    await ending
    canceled = await cancel
    assert canceled == await stores[0].find_batch("w", "a")
    assert canceled is not None
    assert (canceled.status, canceled.cancel_initiated_at) == ("ended", None)


async def test_concurrent_creates_with_one_idempotency_key_make_one_batch(
    stores: Stores, observer: DatabaseObserver
) -> None:
    async def submit_once(number: int) -> str:
        new = msgspec.structs.replace(new_batch(f"b{number}", shards=2), idempotency_key="k")
        store = stores[number % 2]
        await store.add_orphan_blob(input_of(new))
        batch, jobs = await store.create_batch(new)
        assert bool(jobs) == (batch.id == new.id)
        return batch.id

    assert len(set(await asyncio.gather(*(submit_once(number) for number in range(16))))) == 1
    assert observer.value("SELECT count(*) FROM batches") == 1
    assert observer.value("SELECT count(*) FROM procrastinate_jobs") == 2


async def test_concurrent_retries_of_one_create_by_an_sdk_make_one_batch(
    stores: Stores, observer: DatabaseObserver
) -> None:
    async def submit_once(number: int) -> str:
        new = msgspec.structs.replace(new_batch(f"b{number}"), fingerprint=b"\0same", deduplicate_since=0)
        store = stores[number % 2]
        await store.add_orphan_blob(input_of(new))
        return (await store.create_batch(new))[0].id

    assert len(set(await asyncio.gather(*(submit_once(number) for number in range(16))))) == 1
    assert observer.value("SELECT count(*) FROM batches") == 1


async def test_of_concurrent_claims_only_the_latest_epoch_writes(stores: Stores) -> None:
    batch, (job,) = await create(stores[0], "a")
    claims = await asyncio.gather(*(claimed(store, job) for store in stores * 4))
    assert sorted(claim.epoch for claim in claims) == list(range(1, 9))
    *stale, last = sorted(claims, key=lambda claim: claim.epoch)
    flushes = [
        store.append_chunk(claim, chunk(0, 1), shard_done=True) for store, claim in zip(stores * 4, stale, strict=False)
    ]
    assert all(isinstance(outcome, StaleClaim) for outcome in await asyncio.gather(*flushes, return_exceptions=True))
    assert await stores[0].read_chunks(batch.key, 0) == []
    assert await stores[1].append_chunk(last, chunk(0, 1), shard_done=True) is True


async def test_a_claim_waits_for_a_concurrent_write_and_reads_its_results(
    stores: Stores, observer: DatabaseObserver
) -> None:
    # The claim reads the chunks in a later statement than the one that waits for the shard. In the same statement it
    # would see the chunks from before the wait, and the missed requests would be sent and counted again.
    batch, (job,) = await create(stores[0], "a")
    held = await claimed(stores[0], job)
    with observer.holding_locks("SELECT 1 FROM shards WHERE batch_key = %(key)s FOR UPDATE", key=batch.key):
        flush = asyncio.create_task(stores[0].append_chunk(held, chunk(0), shard_done=False))
        await observer.wait_for_lock_waiters(1)
        claim = asyncio.create_task(claimed(stores[1], job))
        await observer.wait_for_lock_waiters(2)
    await flush
    assert (await claim).finished == {0}


async def test_concurrent_writes_to_a_shard_are_separate_chunks(stores: Stores, observer: DatabaseObserver) -> None:
    batch, (job,) = await create(stores[0], "a")
    held = await claimed(stores[0], job)
    chunks = [chunk(seq) for seq in range(12)]
    flushes = [
        store.append_chunk(held, results, shard_done=False) for store, results in zip(stores * 6, chunks, strict=True)
    ]
    await asyncio.gather(*flushes)
    stored = await stores[0].read_chunks(batch.key, 0)
    assert sorted(stored, key=lambda results: results.seqs) == chunks
    assert observer.value("SELECT count(DISTINCT number) FROM chunks") == 12
    assert await counts(stores[0], batch) == Counts(total=2, succeeded=12)


async def test_a_write_that_is_repeated_after_a_lost_response_counts_once(
    stores: Stores, observer: DatabaseObserver
) -> None:
    batch, jobs = await create(stores[0], "a", shards=2)
    starts_first, second = [await claimed(stores[0], job) for job in jobs]
    failures = failure_groups([(1, Failure(kind="api_error", message="broken", custom_id="r1"))])
    failed = msgspec.structs.replace(chunk(1, errored=1), failures=failures)
    for _ in range(2):
        assert await stores[0].append_chunk(starts_first, failed, shard_done=False) is False
    for _ in range(2):
        assert await stores[1].append_chunk(starts_first, chunk(0), shard_done=True) is False
    for _ in range(2):
        assert await stores[1].append_chunk(second, EMPTY, shard_done=True) is True
    assert await counts(stores[0], batch) == Counts(total=4, succeeded=1, errored=1)
    assert await stores[1].failures_of(batch.key) == failures
    assert observer.value("SELECT open_shards FROM batches") == 0
    with pytest.raises(StaleClaim):
        await stores[0].append_chunk(
            starts_first, ResultChunk(seqs=(0, 1), lines=b"{}\n{}\n", succeeded=2, errored=0), shard_done=True
        )


async def counts(store: Store, batch: Batch) -> Counts:
    found = await store.find_batch_by_key(batch.key)
    assert found is not None
    return found.counts


async def test_concurrent_deletes_of_the_last_two_files_of_a_batch_orphan_its_blobs(
    stores: Stores, observer: DatabaseObserver
) -> None:
    # Otherwise each would still see the other's file, which is deleted at the commit, and leave the blobs to it.
    batch = await submit(stores[0], "a")
    await finish(stores[0], batch, await begin(stores[0], batch), "output", "error")
    with observer.holding_locks(LOCK_BATCH, key=batch.key):
        deletes = [
            asyncio.create_task(store.delete_file("w", f"file-a-{part}", 3000))
            for store, part in zip(stores, ("output", "error"), strict=True)
        ]
        await observer.wait_for_lock_waiters(2)
    assert all(await asyncio.gather(*deletes))
    assert list(await stores[0].list_orphan_blobs()) == ["a/input", "a/results"]


async def test_paging_by_the_newest_key_misses_no_batch_that_is_created_concurrently(stores: Stores) -> None:
    # A key is generated before it is visible: a key that becomes visible late would be behind the paging cursor.
    seen: list[str] = []

    async def follow() -> None:
        cursor = 0
        while len(seen) < 60:
            page = await stores[0].list_batches("w", older_than=None, newer_than=cursor, provider=None, limit=100)
            seen.extend(batch.id for batch in reversed(page.batches))
            cursor = page.batches[0].key if page.batches else cursor

    async with asyncio.timeout(120):
        creates = (create(stores[number % 2], f"b{number}", shards=number % 5) for number in range(60))
        await asyncio.gather(follow(), *creates)
    assert sorted(seen) == sorted(f"b{number}" for number in range(60))


async def test_the_victim_of_a_deadlock_retries(stores: Stores, observer: DatabaseObserver) -> None:
    # No deadlock between stores is known, but an administrator's statement may lock rows in any order.
    batch = await submit(stores[0], "a")
    await finish(stores[0], batch, await begin(stores[0], batch), "output")
    with observer.holding_locks("SELECT 1 FROM files FOR UPDATE"):
        delete = asyncio.create_task(stores[0].delete_batch("w", "a", 3000))
        await observer.wait_for_lock_waiters(1)
        observer.connection.execute("SET LOCAL deadlock_timeout = '60s'")
        assert observer.rows(LOCK_BATCH, key=batch.key), "the other transaction was the victim"
    assert await delete
    assert await stores[1].find_batch("w", "a") is None


@pytest.mark.parametrize("_round", range(3))
async def test_concurrent_operations_do_not_deadlock(stores: Stores, observer: DatabaseObserver, _round: int) -> None:
    choose = random.Random(seed := random.randrange(10**6))
    print("seed", seed)
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    before = observer.value(deadlocks)
    batches = [await create(stores[0], f"b{number}", shards=4) for number in range(6)]
    with_files = [await submit(stores[0], f"f{number}") for number in range(4)]
    for batch in with_files:
        await finish(stores[0], batch, await begin(stores[0], batch), "output", "error")
    files = [await create_file(stores[0], f"x{number}", expires_at=4000) for number in range(3)]
    work: list[Coroutine[Any, Any, object]] = [
        run(choose.choice(stores), choose, jobs) for _, jobs in batches for _ in range(2)
    ]
    work += [choose.choice(stores).cancel_batch("w", batch.id, 5) for batch, _ in batches]
    work += [choose.choice(stores).expire_batch(batch.key, 1500) for batch, _ in batches]
    work += [choose.choice(stores).delete_batch("w", batch.id, 9) for batch in with_files]
    work += [
        choose.choice(stores).delete_file("w", f"file-{batch.id}-{part}", 3000)
        for batch in with_files
        for part in ("output", "error")
    ]
    work += [choose.choice(stores).archive_batch(batch.key, 10) for batch in with_files]
    work += [store.expire_files(6000) for store in stores for _ in range(3)]
    work += [choose.choice(stores).delete_file("w", file.id, 3000) for file in files]
    choose.shuffle(work)
    await asyncio.gather(*work)
    assert observer.value(WRONG_COUNTS) == 0
    for batch, jobs in batches:
        await stores[0].cancel_batch("w", batch.id, 6)
        for job in jobs:
            await finish_shard(stores[0], job)
    assert set(await stores[0].finalizable_batches()) == {batch.key for batch, _ in batches}
    for batch, _ in batches:
        await end(stores[1], batch, [])
    assert observer.value("SELECT count(*) FROM sent_marks") == 0
    assert observer.value(deadlocks) == before


async def run(store: PostgresStore, choose: random.Random, jobs: Sequence[QueuedShard]) -> None:
    """Claim the shards of a batch, release some and finish others, as one of several workers does."""
    for job in choose.sample(list(jobs), len(jobs)):
        claim = await store.claim_shard(job)
        if claim is None:
            continue
        store.mark_sent(claim, claim.shard.first_seq, sent=True)
        try:
            await store.append_chunk(claim, result(claim, 0), shard_done=False)
            if choose.random() < 0.5:
                await store.release_shard(claim)
            else:
                await store.append_chunk(claim, result(claim, 1), shard_done=True)
        except StaleClaim:
            continue


async def finish_shard(store: PostgresStore, job: QueuedShard) -> None:
    claim = await store.claim_shard(job)
    if claim is not None:
        await store.append_chunk(claim, EMPTY, shard_done=True)


def result(claim: Claim, number: int) -> ResultChunk:
    """Return the result of one request of a shard."""
    return chunk(claim.shard.first_seq + number)
