"""The contract of `Store`, on every database."""

import asyncio

import pytest

from batchgate.engine.model.batch import Backlog, Batch, NewBatch
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.errors import StaleClaim, StoreError
from batchgate.engine.model.file import File, NewFile
from batchgate.engine.model.shard import QueuedShard, ResultChunk, Shard
from batchgate.engine.model.usage import Counts
from batchgate.engine.ports.store import Store
from tests.support.databases import Database

EMPTY = ResultChunk(seqs=(), lines=b"", succeeded=0, errored=0)


def new_batch(batch_id: str, *, workspace: str = "w", provider: str = "p", shards: int = 1, at: int = 1000) -> NewBatch:
    """Return a batch with two requests per shard that expires 500 after its creation."""
    return NewBatch(
        id=batch_id,
        workspace=workspace,
        dialect="anthropic",
        provider=provider,
        providers=(provider,),
        headers={"anthropic-version": "2023-06-01"},
        created_at=at,
        expires_at=at + 500,
        input_blob=f"{batch_id}/input",
        shards=tuple(
            Shard(index=index, first_seq=2 * index, requests=2, offset=100 * index, length=100, checksum=index)
            for index in range(shards)
        ),
    )


def input_of(new: NewBatch) -> str:
    """Return the input blob of a batch that is not made from a file."""
    assert new.input_blob is not None
    return new.input_blob


def chunk(*seqs: int, errored: int = 0) -> ResultChunk:
    lines = b"".join(b'{"n":%d}\n' % seq for seq in seqs)
    return ResultChunk(seqs=seqs, lines=lines, succeeded=len(seqs) - errored, errored=errored)


async def create(store: Store, batch_id: str, **more: object) -> tuple[Batch, list[QueuedShard]]:
    new = new_batch(batch_id, **more)  # type: ignore[arg-type]
    await store.add_orphan_blob(input_of(new))
    batch, jobs = await store.create_batch(new)
    return batch, list(jobs)


async def claimed(store: Store, job: QueuedShard) -> Claim:
    claim = await store.claim_shard(job)
    assert claim is not None
    return claim


async def end(store: Store, batch: Batch, jobs: list[QueuedShard], now: int = 2000) -> None:
    for job in jobs:
        await store.append_chunk(await claimed(store, job), EMPTY, shard_done=True)
    counts = Counts(total=batch.counts.total, canceled=batch.counts.total)
    await store.add_orphan_blob(f"{batch.id}/results")
    assert await store.end_batch(batch.key, counts=counts, results_blob=f"{batch.id}/results", results_size=7, now=now)


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


async def test_the_first_shards_of_all_batches_come_before_second_shards(store: Store) -> None:
    first, _ = await create(store, "a", shards=2)
    second, _ = await create(store, "b", shards=2)
    line = [(job.batch_key, job.shard) for job in sorted(await store.unfinished_jobs())]
    assert line == [(first.key, 0), (second.key, 0), (first.key, 1), (second.key, 1)]


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
    await store.expire_batch(batch.key)
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


async def test_a_batch_is_ended_once_with_the_results_of_the_first_call(store: Store) -> None:
    batch, jobs = await create(store, "a")
    await end(store, batch, jobs)
    await store.add_orphan_blob("late")
    counts = Counts(total=2, expired=2)
    assert not await store.end_batch(batch.key, counts=counts, results_blob="late", results_size=1, now=9_999)
    found = await store.find_batch("w", "a")
    assert found is not None
    assert (found.results_blob, found.ended_at, found.counts.canceled) == ("a/results", 2000, 2)
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


async def create_file(store: Store, file_id: str, *, at: int = 1000, **more: object) -> File:
    """Store a file of workspace ``w``; by default it never expires."""
    given = {"workspace": "w", "provider": "openai", "purpose": "batch", "expires_at": None} | more
    new = NewFile(id=file_id, filename="f", size=3, sha256=b"s", created_at=at, blob=f"{file_id}/blob", **given)  # type: ignore[arg-type]
    await store.add_orphan_blob(f"{file_id}/blob")
    return await store.create_file(new)


async def file_page(store: Store, *, after: int | None = None, limit: int = 9, now: int = 0, **filters: object) -> str:
    """Return a page of files of workspace ``w`` as text: their ids, and a plus if there are more."""
    given = {"ascending": False, "purpose": None, "provider": None} | filters
    page = await store.list_files("w", after=after, now=now, limit=limit, **given)  # type: ignore[arg-type]
    return "".join(file.id for file in page.files) + ("+" if page.has_more else "")


async def test_a_file_is_read_back_as_it_was_created(store: Store) -> None:
    file = await create_file(store, "a", expires_at=5000)
    assert await store.find_file("w", "a", 4999) == file
    assert (file.filename, file.size, file.sha256, file.created_at, file.expires_at) == ("f", 3, b"s", 1000, 5000)
    assert await store.find_file("other", "a", 0) is None
    assert await store.find_file_cursor("other", "a") is None
    assert await store.delete_file("other", "a", 0) is None


async def test_files_are_listed_in_both_orders_from_a_cursor_by_purpose_and_provider(store: Store) -> None:
    keys = []
    for name in "abcde":
        odd = name in "ac"
        file = await create_file(
            store, name, purpose="vision" if odd else "batch", provider="azure" if name == "a" else "openai"
        )
        keys.append(file.key)
    await create_file(store, "x", workspace="other")
    assert await file_page(store) == "edcba"
    assert await file_page(store, limit=2) == "ed+"
    assert await file_page(store, after=keys[3], limit=3) == "cba"
    assert await file_page(store, ascending=True, limit=2) == "ab+"
    assert await file_page(store, ascending=True, after=keys[1]) == "cde"
    assert await file_page(store, purpose="vision") == "ca"
    assert await file_page(store, purpose="vision", provider="azure") == "a"
    assert await file_page(store, provider="openai", after=keys[4]) == "dcb"


async def test_a_file_disappears_exactly_at_its_expiry_and_its_cursor_stays(store: Store) -> None:
    file = await create_file(store, "a", expires_at=5000)
    assert await file_page(store, now=4999) == "a"
    assert await file_page(store, now=5000) == ""
    assert await store.find_file("w", "a", 5000) is None
    assert await store.delete_file("w", "a", 5000) is None
    assert await store.next_due(4999, 10_000) == 5000
    assert await store.next_due(5000, 10_000) is None
    await store.expire_files(4999)
    assert await store.list_orphan_blobs() == []
    await store.expire_files(5000)
    assert list(await store.list_orphan_blobs()) == ["a/blob"]
    assert not await store.owns_blob("a", "a/blob")
    assert await store.find_file("w", "a", 0) is None
    assert await store.find_file_cursor("w", "a") == file.key


async def test_a_blob_is_an_orphan_until_a_file_owns_it_and_after_the_file_is_deleted(store: Store) -> None:
    file = await create_file(store, "a")
    assert await store.list_orphan_blobs() == []
    assert await store.owns_blob("a", "a/blob")
    assert not await store.owns_blob("b", "a/blob")
    assert await store.delete_file("w", "a", 7) == file
    assert await store.delete_file("w", "a", 8) is None
    assert list(await store.list_orphan_blobs()) == ["a/blob"]
    assert not await store.owns_blob("a", "a/blob")
    assert await store.find_file_cursor("w", "a") == file.key
    assert await file_page(store) == ""


async def test_a_file_whose_blob_has_been_removed_is_refused(store: Store) -> None:
    new = NewFile(
        id="a",
        workspace="w",
        provider="openai",
        purpose="batch",
        filename="f",
        size=3,
        sha256=b"s",
        created_at=1,
        expires_at=None,
        blob="a/blob",
    )
    with pytest.raises(StoreError, match="a/blob"):
        await store.create_file(new)
    assert await store.find_file("w", "a", 0) is None


async def test_concurrent_writers_lose_nothing_and_a_failing_one_affects_no_other(store: Store) -> None:
    await create(store, "twice")
    names = [f"b{number}" for number in range(200)] + ["twice"]
    created = await asyncio.gather(*(create(store, name) for name in names), return_exceptions=True)
    assert [isinstance(outcome, StoreError) for outcome in created] == [False] * 200 + [True]
    page = await store.list_batches("w", older_than=None, newer_than=None, provider=None, limit=1000)
    assert {batch.id for batch in page.batches} == set(names)


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
