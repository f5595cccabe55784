"""The contract of `ScrubStore`, on every database."""

from batchgate.engine.model.stored_blob import BlobOwner, ScrubState
from batchgate.store.postgres import PostgresStore
from batchgate.store.sqlite import SqliteStore
from tests.support.stored_rows import create, create_file, end


async def test_the_blobs_of_each_kind_are_read_in_the_order_of_their_owners(store: SqliteStore | PostgresStore) -> None:
    files = [await create_file(store, file_id) for file_id in "ab"]
    found = await store.scrub.next_blob("file", 0)
    assert found is not None
    assert (found.owner, found.id, found.workspace, found.name) == (BlobOwner("file", files[0].key), "a", "w", "a/blob")
    assert (found.size, found.sha256) == (3, b"s")
    second = await store.scrub.next_blob("file", files[0].key)
    assert second is not None
    assert second.id == "b"
    assert await store.scrub.next_blob("file", files[1].key) is None
    await store.delete_file("w", "b", 2000)
    assert await store.scrub.next_blob("file", files[0].key) is None


async def test_only_batches_with_results_have_a_blob(store: SqliteStore | PostgresStore) -> None:
    batch, jobs = await create(store, "a")
    owner = BlobOwner("results", batch.key)
    assert await store.scrub.next_blob("results", 0) is None
    assert await store.scrub.find_blob(owner) is None
    await end(store, batch, jobs)
    found = await store.scrub.find_blob(owner)
    assert found is not None
    assert found == await store.scrub.next_blob("results", 0)
    assert (found.id, found.name, found.size, found.sha256) == ("a", "a/results", 7, b"sha of a/results")
    await store.archive_batch(batch.key, 3000)
    assert await store.scrub.find_blob(owner) is None


async def test_a_deleted_batch_has_no_blob(store: SqliteStore | PostgresStore) -> None:
    batch, jobs = await create(store, "a")
    await end(store, batch, jobs)
    await store.delete_batch("w", "a", 3000)
    assert await store.scrub.find_blob(BlobOwner("results", batch.key)) is None
    assert await store.scrub.next_blob("results", 0) is None


async def test_the_state_of_the_scrub_is_the_one_that_was_stored_last(store: SqliteStore | PostgresStore) -> None:
    assert await store.scrub.load_scrub_state() is None
    for after in (1, 2):
        state = ScrubState(kind="file", after=after, started_at=5, checked=7, damaged=(BlobOwner("results", 3),))
        await store.scrub.save_scrub_state(state)
        assert await store.scrub.load_scrub_state() == state
