"""The contract of `Store` for tasks at providers and for the files that requests make, on every database."""

import msgspec
import pytest

from batchgate.engine.model.claim import Claim
from batchgate.engine.model.errors import StaleClaim, StoreError
from batchgate.engine.model.file import NewFile
from batchgate.engine.model.provider_task import ProviderTask
from batchgate.engine.model.usage import Counts
from batchgate.engine.ports.store import Store
from tests.support.databases import Database
from tests.support.stored_rows import chunk, claimed, create, file_page


def task(claim: Claim, seq: int, task_id: str = "t", created_at: int = 5) -> ProviderTask:
    """Make a task of a request of a claimed shard."""
    return ProviderTask(batch_key=claim.batch.key, seq=seq, account="runway", task_id=task_id, created_at=created_at)


def output(claim: Claim, name: str) -> NewFile:
    """Make a file that a request made."""
    return NewFile(
        id=name,
        workspace="w",
        provider="elevenlabs",
        purpose="batch_output",
        filename=f"{name}.mp3",
        size=3,
        sha256=b"s",
        created_at=6,
        expires_at=None,
        blob=f"{name}/blob",
        mime_type="audio/mpeg",
        output_of=claim.batch.key,
    )


async def test_the_next_claim_of_a_shard_has_the_tasks_of_its_requests_and_no_others(store: Store) -> None:
    _, jobs = await create(store, "a", shards=2)
    _, (job,) = await create(store, "b")
    first = await claimed(store, jobs[0])
    stored = [task(first, 0), task(first, 1, "u")]
    for one in stored:
        await store.save_task(first, one)
    of_other = await claimed(store, job)
    await store.save_task(of_other, task(of_other, 0, "of b"))
    again = await claimed(store, jobs[0])
    assert sorted(await store.tasks_of(again), key=lambda found: found.seq) == stored
    assert await store.tasks_of(await claimed(store, jobs[1])) == []
    assert [found.task_id for found in await store.tasks_of(await claimed(store, job))] == ["of b"]


async def test_tasks_survive_the_end_of_their_process(database: Database) -> None:
    async with database.store() as store:
        _, (job,) = await create(store, "a")
        claim = await claimed(store, job)
        await store.save_task(claim, task(claim, 1))
    async with database.store() as store:
        assert await store.tasks_of(await claimed(store, job)) == [task(claim, 1)]


async def test_a_stale_claim_stores_no_task(store: Store) -> None:
    _, (job,) = await create(store, "a")
    stale = await claimed(store, job)
    fresh = await claimed(store, job)
    with pytest.raises(StaleClaim):
        await store.save_task(stale, task(stale, 0))
    await store.save_task(fresh, task(fresh, 0, "new"))
    assert await store.tasks_of(fresh) == [task(fresh, 0, "new")]


async def test_the_result_of_a_request_ends_its_task(store: Store) -> None:
    _, (job,) = await create(store, "a")
    claim = await claimed(store, job)
    for seq in (0, 1):
        await store.save_task(claim, task(claim, seq))
    await store.append_chunk(claim, msgspec.structs.replace(chunk(0), ended_tasks=(0,)), shard_done=False)
    assert await store.tasks_of(claim) == [task(claim, 1)]


async def test_a_later_task_of_a_request_takes_the_place_of_the_first(store: Store) -> None:
    _, (job,) = await create(store, "a")
    claim = await claimed(store, job)
    for name in "tu":
        await store.save_task(claim, task(claim, 0, name))
    await store.forget_task(task(claim, 0, "t"))
    assert await store.tasks_of(claim) == [task(claim, 0, "u")]
    await store.forget_task(task(claim, 0, "u"))
    assert await store.tasks_of(claim) == []


async def test_tasks_are_stopped_when_their_batch_is_canceled_or_expires(store: Store) -> None:
    tasks = []
    for number, name in enumerate("ab"):
        batch, (job,) = await create(store, name)
        claim = await claimed(store, job)
        tasks.append(task(claim, 0, name, created_at=9 - number))
        await store.save_task(claim, tasks[-1])
    assert await store.stopped_tasks(batch.expires_at - 1, 10) == []
    assert await store.stopped_tasks(batch.expires_at, 10) == [tasks[1], tasks[0]]
    assert await store.stopped_tasks(batch.expires_at, 1) == [tasks[1]]
    await store.cancel_batch("w", "a", 3)
    assert await store.stopped_tasks(batch.expires_at - 1, 10) == [tasks[0]]


async def test_a_file_that_a_request_made_is_stored_with_its_result(store: Store) -> None:
    _, (job,) = await create(store, "a")
    claim = await claimed(store, job)
    await store.add_orphan_blob("f/blob")
    await store.append_chunk(claim, msgspec.structs.replace(chunk(0), outputs=(output(claim, "f"),)), shard_done=False)
    found = await store.find_file("w", "f", 10)
    assert found is not None
    assert (found.output_of, found.mime_type, found.blob) == (claim.batch.key, "audio/mpeg", "f/blob")
    assert await store.list_orphan_blobs() == []
    assert await store.owns_blob("f", "f/blob")
    assert await file_page(store) == "f"


async def test_a_chunk_whose_file_was_swept_is_not_stored(store: Store) -> None:
    batch, (job,) = await create(store, "a")
    claim = await claimed(store, job)
    with pytest.raises(StoreError):
        await store.append_chunk(
            claim, msgspec.structs.replace(chunk(0), outputs=(output(claim, "f"),)), shard_done=False
        )
    assert await store.read_chunks(batch.key, 0) == []
    assert await store.find_file("w", "f", 10) is None


@pytest.mark.parametrize("ending", ["deleted", "archived"])
async def test_the_files_that_requests_made_go_with_the_results_of_their_batch(store: Store, ending: str) -> None:
    batch, (job,) = await create(store, "a")
    claim = await claimed(store, job)
    await store.add_orphan_blob("f/blob")
    done = msgspec.structs.replace(chunk(0, 1), outputs=(output(claim, "f"),))
    await store.append_chunk(claim, done, shard_done=True)
    await store.add_orphan_blob("r")
    counts = Counts(total=2, succeeded=2)
    await store.end_batch(batch.key, counts=counts, results_blob="r", results_size=5, now=7)
    if ending == "deleted":
        await store.delete_batch("w", "a", 20)
    else:
        await store.archive_batch(batch.key, 20)
    assert await store.find_file("w", "f", 20) is None
    await store.expire_files(20)
    assert "f/blob" in await store.list_orphan_blobs()
