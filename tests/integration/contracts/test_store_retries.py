"""The contract of `Store` for batches that retry others."""

from msgspec import structs

from batchgate.engine.model.batch import Batch
from batchgate.engine.ports.store import Store
from tests.support.stored_rows import end, input_of, new_batch


async def test_a_batch_keeps_its_parent_and_the_hash_of_its_input(store: Store) -> None:
    new = structs.replace(new_batch("a"), parent="p", input_hash=b"hash")
    await store.add_orphan_blob(input_of(new))
    batch, _ = await store.create_batch(new)
    assert (batch.parent, batch.input_hash) == ("p", b"hash")
    assert await store.find_batch("w", "a") == batch


async def add(store: Store, batch_id: str, parent: str | None, *, workspace: str = "w") -> Batch:
    new = structs.replace(new_batch(batch_id, workspace=workspace), parent=parent)
    await store.add_orphan_blob(input_of(new))
    batch, _ = await store.create_batch(new)
    return batch


async def test_the_retries_of_a_batch_and_theirs_are_found_the_oldest_first(store: Store) -> None:
    await add(store, "root", None)
    children = [await add(store, "a", "root"), await add(store, "b", "root")]
    grandchild = await add(store, "c", "a")
    await add(store, "other", None)
    await add(store, "foreign", "root", workspace="x")
    assert list(await store.retries_of("w", "root", limit=9)) == [*children, grandchild]
    assert list(await store.retries_of("w", "root", limit=2)) == children
    assert list(await store.retries_of("w", "a", limit=9)) == [grandchild]
    assert list(await store.retries_of("w", "c", limit=9)) == []


async def test_a_deleted_retry_is_left_out_but_not_its_own_retries(store: Store) -> None:
    await add(store, "root", None)
    await add(store, "a", "root")
    grandchild = await add(store, "b", "a")
    await store.cancel_batch("w", "a", 1100)
    jobs = [job for job in await store.unfinished_jobs() if job.batch_key == grandchild.key]
    assert len(jobs) == 1
    found = await store.find_batch("w", "a")
    assert found is not None
    await end(store, found, [])
    await store.delete_batch("w", "a", 2000)
    assert list(await store.retries_of("w", "root", limit=9)) == [grandchild]
