"""The contract of `Store` for batches and their blobs, on every database."""

import asyncio

import pytest

from batchgate.engine.model.batch import Backlog
from batchgate.engine.model.errors import StoreError
from batchgate.engine.model.shard import ChunkSlice
from batchgate.engine.model.usage import Counts
from batchgate.engine.ports.store import Store
from tests.support.stored_rows import EMPTY, chunk, claimed, create, end, new_batch


async def test_a_batch_is_read_back_as_it_was_created(store: Store) -> None:
    batch, jobs = await create(store, "a", shards=3)
    assert await store.find_batch("w", "a") == batch
    assert await store.find_batch_by_key(batch.key) == batch
    assert batch.counts == Counts(total=6)
    assert batch.status == "in_progress"
    assert batch.headers == {"anthropic-version": "2023-06-01"}
    assert [claim.shard for claim in await store.list_shards(batch)] == list(new_batch("a", shards=3).shards)
    assert list(await store.unfinished_jobs()) == jobs


async def test_a_duplicate_id_is_refused_and_stores_nothing(store: Store) -> None:
    await create(store, "a")
    with pytest.raises(StoreError):
        await create(store, "a", shards=9)
    assert len(await store.unfinished_jobs()) == 1


async def test_the_backlog_counts_open_batches_and_unclaimed_shards(store: Store) -> None:
    assert await store.backlog() == Backlog(batches={}, waiting_shards=0, waiting_since=None)
    _, first = await create(store, "a", shards=2, at=1000)
    second, more = await create(store, "b", shards=3, at=1001)
    assert await store.backlog() == Backlog(batches={("w", "in_progress"): 2}, waiting_shards=5, waiting_since=1000)
    for job in first:
        await claimed(store, job)
    assert await store.backlog() == Backlog(batches={("w", "in_progress"): 2}, waiting_shards=3, waiting_since=1001)
    await store.cancel_batch("w", "b", 1002)
    assert await store.backlog() == Backlog(
        batches={("w", "in_progress"): 1, ("w", "canceling"): 1}, waiting_shards=0, waiting_since=None
    )
    await end(store, second, [])
    assert (await store.backlog()).batches == {("w", "in_progress"): 1}
    assert await store.claim_shard(more[0]) is None


async def test_a_workspace_sees_only_its_own_batches(store: Store) -> None:
    await create(store, "a", workspace="mine")
    assert await store.find_batch("other", "a") is None
    assert await store.find_batch_cursor("other", "a") is None
    assert await store.cancel_batch("other", "a", 1) is None
    assert await store.delete_batch("other", "a", 1) is None
    page = await store.list_batches("other", older_than=None, newer_than=None, provider=None, limit=9)
    assert page.batches == ()


async def test_pages_are_newest_first_in_both_directions_and_strictly_between_two_cursors(store: Store) -> None:
    keys = [(await create(store, name, provider="odd" if name in "ac" else "even"))[0].key for name in "abcde"]

    async def page(older: int | None, newer: int | None, limit: int = 9, provider: str | None = None) -> str:
        found = await store.list_batches("w", older_than=older, newer_than=newer, provider=provider, limit=limit)
        return "".join(batch.id for batch in found.batches) + ("+" if found.has_more else "")

    assert await page(None, None, 2) == "ed+"
    assert await page(keys[3], None, 2) == "cb+"
    assert await page(keys[1], None, 2) == "a"
    assert await page(None, keys[0], 2) == "cb+"
    assert await page(None, keys[2], 2) == "ed"
    assert await page(keys[4], keys[0]) == "dcb"
    assert await page(keys[4], keys[0], 2) == "dc+"
    assert await page(None, None, provider="odd") == "ca"
    assert await page(None, keys[0], provider="odd") == "c"


async def test_cancel_closes_unclaimed_shards_and_keeps_its_first_time(store: Store) -> None:
    _, jobs = await create(store, "a", shards=3)
    held = await claimed(store, jobs[0])
    canceling = await store.cancel_batch("w", "a", 5)
    assert canceling is not None
    assert (canceling.status, canceling.cancel_initiated_at) == ("canceling", 5)
    assert await store.cancel_batch("w", "a", 6) == canceling
    assert await store.claim_shard(jobs[1]) is None
    assert await store.append_chunk(held, chunk(0), shard_done=True) is True


async def test_cancel_does_not_change_an_ended_batch(store: Store) -> None:
    batch, jobs = await create(store, "a")
    await end(store, batch, jobs)
    ended = await store.find_batch("w", "a")
    assert await store.cancel_batch("w", "a", 5) == ended


async def test_only_an_ended_batch_is_deleted_and_its_cursor_outlives_it(store: Store) -> None:
    batch, jobs = await create(store, "a")
    kept = await store.delete_batch("w", "a", 1)
    assert kept is not None
    assert kept.status == "in_progress"
    assert await store.find_batch("w", "a") is not None
    await end(store, batch, jobs)
    assert await store.delete_batch("w", "a", 2) is not None
    assert await store.find_batch("w", "a") is None
    assert await store.delete_batch("w", "a", 3) is None
    assert await store.find_batch_cursor("w", "a") == batch.key


async def test_expired_batches_are_listed_and_their_unclaimed_shards_closed(store: Store) -> None:
    batch, jobs = await create(store, "a", shards=2)
    held = await claimed(store, jobs[0])
    assert await store.overdue_batches(1499) == []
    assert await store.overdue_batches(1500) == [batch.key]
    await store.expire_batch(batch.key, 1500)
    assert await store.claim_shard(jobs[1]) is None
    assert await store.append_chunk(held, EMPTY, shard_done=True) is True


async def test_only_ended_batches_with_results_are_archived_once(store: Store) -> None:
    batch, jobs = await create(store, "a")
    await create(store, "running")
    await end(store, batch, jobs)
    assert await store.archivable_batches(999) == []
    assert [found.id for found in await store.archivable_batches(1000)] == ["a"]
    await store.archive_batch(batch.key, 9)
    assert await store.archivable_batches(1000) == []
    archived = await store.find_batch("w", "a")
    assert archived is not None
    assert (archived.archived_at, archived.results_blob, archived.results_size) == (9, None, None)
    assert archived.results_sha256 is None


async def test_a_batch_is_ended_once_with_the_results_of_the_first_call(store: Store) -> None:
    batch, jobs = await create(store, "a")
    await end(store, batch, jobs)
    await store.add_orphan_blob("late")
    counts = Counts(total=2, expired=2)
    assert not await store.end_batch(batch.key, counts=counts, results_blob="late", results_size=1, now=9_999)
    found = await store.find_batch("w", "a")
    assert found is not None
    assert (found.results_blob, found.ended_at, found.counts.canceled) == ("a/results", 2000, 2)
    assert found.results_sha256 == b"sha of a/results"
    assert list(await store.list_orphan_blobs()) == ["late"]


async def test_a_blob_is_an_orphan_until_a_batch_owns_it_and_after_the_batch_is_deleted(store: Store) -> None:
    await store.add_orphan_blob("a/input")
    await store.add_orphan_blob("a/input")
    assert await store.tombstone_blob("a/input")
    assert not await store.owns_blob("a", "a/input")
    batch, jobs = await create(store, "a")
    assert not await store.tombstone_blob("a/input")
    assert await store.owns_blob("a", "a/input")
    assert not await store.owns_blob("a", "a/results")
    await end(store, batch, jobs)
    assert await store.owns_blob("a", "a/results")
    assert await store.list_orphan_blobs() == []
    await store.delete_batch("w", "a", 3000)
    assert list(await store.list_orphan_blobs()) == ["a/input", "a/results"]
    assert not await store.owns_blob("a", "a/results")
    await store.forget_orphan_blobs(["a/input", "a/results", "unknown"])
    assert await store.list_orphan_blobs() == []


async def test_archiving_orphans_the_blobs_of_an_ended_batch_only(store: Store) -> None:
    batch, jobs = await create(store, "a")
    await store.delete_batch("w", "a", 1)
    assert await store.list_orphan_blobs() == []
    await end(store, batch, jobs)
    await store.archive_batch(batch.key, 9)
    assert list(await store.list_orphan_blobs()) == ["a/input", "a/results"]


async def test_a_batch_whose_blob_is_not_registered_is_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="a/input"):
        await store.create_batch(new_batch("a"))
    assert await store.find_batch("w", "a") is None
    assert await store.unfinished_jobs() == []
    batch, jobs = await create(store, "b")
    await store.append_chunk(await claimed(store, jobs[0]), chunk(0, 1), shard_done=True)
    with pytest.raises(StoreError, match="gone"):
        await store.end_batch(batch.key, counts=Counts(total=2), results_blob="gone", results_size=1, now=1)
    assert await store.finalizable_batches() == [batch.key]


async def test_next_due_is_an_expiry_or_the_end_of_a_retention(store: Store) -> None:
    assert await store.next_due(0, 10_000) is None
    batch, jobs = await create(store, "a", at=1000)
    await create(store, "b", at=2000)
    assert await store.next_due(0, 10_000) == 1500
    assert await store.next_due(1500, 10_000) == 2500
    await end(store, batch, jobs)
    assert await store.next_due(0, 10_000) == 2500
    assert await store.next_due(2500, 10_000) == 11_000
    await store.archive_batch(batch.key, 11_000)
    assert await store.next_due(2500, 10_000) is None


async def test_concurrent_writers_lose_nothing_and_a_failing_one_affects_no_other(store: Store) -> None:
    await create(store, "twice")
    # Not so many that the last wait longer for a connection than PostgreSQL's pool lets them, on a busy machine.
    names = [f"b{number}" for number in range(80)] + ["twice"]
    created = await asyncio.gather(*(create(store, name) for name in names), return_exceptions=True)
    assert [isinstance(outcome, StoreError) for outcome in created] == [False] * 80 + [True]
    page = await store.list_batches("w", older_than=None, newer_than=None, provider=None, limit=1000)
    assert {batch.id for batch in page.batches} == set(names)


async def test_parts_of_chunks_are_read_in_the_requested_order(store: Store) -> None:
    batch, (job,) = await create(store, "a")
    claim = await claimed(store, job)
    await store.append_chunk(claim, chunk(1), shard_done=False)
    await store.append_chunk(claim, chunk(0), shard_done=True)
    entries = await store.list_chunks(batch.key, 0)
    assert [(entry.seqs, entry.size) for entry in entries] == [((1,), 8), ((0,), 8)]
    first, second = (entry.id for entry in entries)
    slices = [ChunkSlice(second, 0, 8), ChunkSlice(first, 1, 3), ChunkSlice(first, 4, 99), ChunkSlice(77, 0, 1)]
    assert list(await store.read_slices(batch.key, 0, slices)) == [b'{"n":0}\n', b'"n"', b":1}\n"]
    assert list(await store.read_slices(batch.key, 0, [])) == []
    assert list(await store.list_chunks(batch.key, 1)) == []
