"""The contract of the quotas of files and of creates in a minute, on every database."""

import asyncio
import random

import msgspec
import pytest

from batchgate.engine.model.errors import QuotaExceeded
from batchgate.engine.model.file import NewFile
from batchgate.engine.model.workspace import MINUTE
from tests.integration.contracts.tenants.stored_rows import (
    LATER,
    NOW,
    AnyStore,
    create,
    end,
    new_batch,
    quota,
    run,
    upload,
    use,
)
from tests.support.databases import Database

NEXT_MINUTE = NOW + MINUTE


async def test_batches_and_uploads_are_counted_together_until_the_minute_ends(store: AnyStore) -> None:
    await quota(store, creates_per_minute=3)
    await create(store, new_batch("a"))
    await upload(store, "f", 1)
    await create(store, new_batch("b"))
    message = "quota of creates per minute: the limit is 3, and 3 were accepted in this minute"
    with pytest.raises(QuotaExceeded, match=message) as refused:
        await create(store, new_batch("c"))
    assert refused.value.headers == {"Retry-After": "20"}  # 1,795,000,000 is 40 seconds after a whole minute
    with pytest.raises(QuotaExceeded, match=message):
        await upload(store, "g", 1)
    assert (await use(store)).creates_per_minute == 3
    assert (await use(store, NEXT_MINUTE)).creates_per_minute == 0
    await create(store, new_batch("c", created_at=NEXT_MINUTE))
    assert (await use(store, NEXT_MINUTE)).creates_per_minute == 1
    with pytest.raises(QuotaExceeded, match=message):  # a gateway whose clock is behind
        await create(store, new_batch("d"))


async def test_a_workspace_has_its_own_minute(store: AnyStore) -> None:
    await quota(store, creates_per_minute=1)
    await create(store, new_batch("a"))
    for name in ("b", "c", "d"):
        await create(store, new_batch(name, workspace="v"))
    assert (await store.tenants.find_usage("v", NOW)).creates_per_minute == 3


async def test_a_quota_of_no_creates_promises_no_room(store: AnyStore) -> None:
    await quota(store, creates_per_minute=0)
    with pytest.raises(QuotaExceeded, match="creates per minute: the limit is 0") as refused:
        await create(store, new_batch("a"))
    assert refused.value.headers == {"x-should-retry": "false"}


async def test_a_quota_that_waiting_does_not_help_is_named_before_the_creates_of_the_minute(store: AnyStore) -> None:
    await quota(store, creates_per_minute=1, files=1, concurrent_batches=0)
    await upload(store, "f", 1)
    with pytest.raises(QuotaExceeded, match="quota of files: the limit is 1, 1 are in use"):
        await upload(store, "g", 1)
    with pytest.raises(QuotaExceeded, match="quota of concurrent batches"):
        await create(store, new_batch("a"))


async def test_a_repeated_create_is_found_in_a_full_minute_and_not_counted(store: AnyStore) -> None:
    await quota(store, creates_per_minute=1)
    new = msgspec.structs.replace(new_batch("a"), idempotency_key="i")
    key = await create(store, new)
    batch, _ = await store.create_batch(new)
    assert (batch.key, (await use(store)).creates_per_minute) == (key, 1)


async def test_concurrent_creates_of_two_gateways_are_accepted_exactly_up_to_the_quota(database: Database) -> None:
    async with database.store() as one, database.store() as two:
        await one.tenants.ensure_workspaces(["w"], NOW)
        await quota(one, creates_per_minute=7)
        stores = [(f"{n}-{number}", store) for n in range(6) for number, store in enumerate((one, two))]
        creates = [create(store, new_batch(name)) for name, store in stores]
        uploads = [upload(store, name, 1) for name, store in stores]
        done = await asyncio.gather(*creates, *uploads, return_exceptions=True)
        refused = [result for result in done if isinstance(result, BaseException)]
        assert (len(refused), {type(error) for error in refused}) == (24 - 7, {QuotaExceeded})
        usage = await use(two)
        page = await one.list_files("w", after=None, ascending=True, purpose=None, provider=None, now=NOW, limit=100)
    assert (usage.creates_per_minute, usage.concurrent_batches + len(page.files)) == (7, 7)


async def test_only_as_many_concurrent_uploads_as_files_are_left_are_accepted(store: AnyStore) -> None:
    await quota(store, files=4)
    done = await asyncio.gather(*(upload(store, f"f{n}", 1) for n in range(12)), return_exceptions=True)
    assert sum(isinstance(one, QuotaExceeded) for one in done) == 8
    assert (await use(store)).files == 4


async def test_a_file_that_is_deleted_or_expires_makes_room_for_another(store: AnyStore) -> None:
    await quota(store, files=2)
    await upload(store, "f", 1)
    await upload(store, "g", 1, expires_at=LATER)
    with pytest.raises(QuotaExceeded, match="quota of files: the limit is 2, 2 are in use, and this needs 1 more"):
        await upload(store, "h", 1)
    await store.delete_file("w", "f", NOW)
    await store.delete_file("w", "f", NOW)
    await upload(store, "h", 1)
    await store.expire_files(LATER)
    await store.expire_files(LATER)
    assert ((await use(store)).files, (await use(store)).stored_bytes) == (1, 4096)


async def test_result_files_count_neither_as_files_nor_for_the_least_size_of_one(store: AnyStore) -> None:
    key = await create(store, new_batch("a", size=100))
    await run(store, key, succeeded=2)
    await end(store, key, size=10, files=(result_file("a"),))
    assert ((await use(store)).files, (await use(store)).stored_bytes) == (0, 110)
    assert await store.delete_file("w", "a-output", NOW) is not None
    assert ((await use(store)).files, (await use(store)).stored_bytes) == (0, 0)


async def test_the_count_of_files_and_bytes_is_what_a_recount_finds(store: AnyStore) -> None:
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    sizes = {f"f{n}": chance.choice([1, 4095, 4096, 4097, 100_000]) for n in range(20)}
    expiries = {name: chance.choice([None, LATER]) for name in sizes}
    await asyncio.gather(*(upload(store, name, size, expires_at=expiries[name]) for name, size in sizes.items()))
    gone = chance.sample(sorted(sizes), 8)
    deletions = [store.delete_file("w", name, NOW) for name in (*gone, *gone)]
    await asyncio.gather(*deletions, store.expire_files(LATER))
    page = await store.list_files("w", after=None, ascending=True, purpose=None, provider=None, now=NOW, limit=100)
    usage = await use(store)
    recount = (len(page.files), sum(max(4096, file.size) for file in page.files))
    assert (usage.files, usage.stored_bytes) == recount, f"seed {seed}"


def result_file(batch_id: str) -> NewFile:
    """Return the output file of a batch."""
    return NewFile(
        id=f"{batch_id}-output",
        workspace="w",
        provider="p",
        purpose="batch_output",
        filename="output.jsonl",
        size=10,
        sha256=b"",
        created_at=NOW,
        expires_at=None,
        blob=None,
        batch_id=batch_id,
        part="output",
    )
