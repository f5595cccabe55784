"""The contract of the quotas in `Store` and `TenantStore`, on every database."""

import asyncio
import random

import msgspec
import pytest

from batchgate.engine.model.batch import ValidatedInput
from batchgate.engine.model.clock import DAY
from batchgate.engine.model.errors import QuotaExceeded
from batchgate.engine.model.shard import Shard
from batchgate.engine.model.workspace import NANODOLLARS_PER_DOLLAR, QuotaUsage
from tests.integration.contracts.tenants.stored_rows import (
    LATER,
    NOW,
    AnyStore,
    batch_of_a_file,
    create,
    end,
    new_batch,
    quota,
    run,
    upload,
    use,
)


async def test_creates_beyond_the_quotas_of_batches_and_requests_are_refused(store: AnyStore) -> None:
    await quota(store, queued_requests=5, concurrent_batches=2)
    first = await create(store, new_batch("a"))
    with pytest.raises(QuotaExceeded, match=r"quota of queued requests: the limit is 5, 2 are in use, .* 4 more"):
        await create(store, new_batch("b", requests=4))
    await create(store, new_batch("b", requests=3))
    with pytest.raises(QuotaExceeded, match="quota of queued requests: the limit is 5, 5 are in use"):
        await create(store, new_batch("c", requests=1))
    await run(store, first, succeeded=1)  # its requests have results, but the batch has not ended
    with pytest.raises(QuotaExceeded, match="quota of concurrent batches: the limit is 2, 2 are in use"):
        await create(store, new_batch("c", requests=1))
    await end(store, first, size=10)
    await create(store, new_batch("c", requests=2))
    await create(store, new_batch("d", workspace="v", requests=100))
    assert await use(store) == QuotaUsage(
        queued_requests=5, concurrent_batches=2, stored_bytes=310, creates_per_minute=3
    )


async def test_a_refused_create_stores_nothing(store: AnyStore) -> None:
    await quota(store, concurrent_batches=0)
    with pytest.raises(QuotaExceeded):
        await create(store, new_batch("a"))
    assert await store.find_batch("w", "a") is None
    assert await use(store) == QuotaUsage()
    assert list(await store.unfinished_jobs()) == []
    assert await store.tombstone_blob("a/input")


async def test_only_one_of_two_concurrent_creates_takes_the_rest_of_a_quota(store: AnyStore) -> None:
    await quota(store, concurrent_batches=3, stored_bytes=10_000)
    done = await asyncio.gather(*(create(store, new_batch(f"b{n}")) for n in range(12)), return_exceptions=True)
    assert sum(isinstance(one, QuotaExceeded) for one in done) == 9
    assert (await use(store)).concurrent_batches == 3
    uploaded = await asyncio.gather(*(upload(store, f"f{n}", 4_700) for n in range(6)), return_exceptions=True)
    assert sum(isinstance(one, QuotaExceeded) for one in uploaded) == 4
    assert (await use(store)).stored_bytes == 9_700


async def test_a_repeated_create_is_found_although_the_quota_is_full(store: AnyStore) -> None:
    new = msgspec.structs.replace(new_batch("a"), idempotency_key="i")
    key = await create(store, new)
    await quota(store, concurrent_batches=1)
    batch, jobs = await store.create_batch(new)
    assert (batch.key, list(jobs)) == (key, [])


async def test_a_batch_from_a_file_uses_its_quota_after_its_validation(store: AnyStore) -> None:
    await quota(store, queued_requests=3, stored_bytes=150)
    key = await create(store, batch_of_a_file("a"))
    await create(store, new_batch("b"))
    for requests, size, message in ((2, 10, "queued requests"), (1, 51, "stored bytes")):
        shard = Shard(index=0, first_seq=0, requests=requests, offset=0, length=size, checksum=0)
        begun = ValidatedInput(input_blob="a/validated", shards=(shard,), providers=())
        await store.add_orphan_blob("a/validated")
        with pytest.raises(QuotaExceeded, match=message):
            await store.start_batch(key, begun, NOW)
        batch = await store.find_batch_by_key(key)
        assert batch is not None
        assert batch.status == "validating"
    shard = Shard(index=0, first_seq=0, requests=1, offset=0, length=50, checksum=0)
    assert await store.start_batch(key, ValidatedInput(input_blob="a/validated", shards=(shard,), providers=()), NOW)
    assert await use(store) == QuotaUsage(
        queued_requests=3, concurrent_batches=2, stored_bytes=150, creates_per_minute=2
    )
    with pytest.raises(QuotaExceeded, match="queued requests"):
        await create(store, batch_of_a_file("c"))


async def test_costs_count_in_the_month_of_the_results(store: AnyStore) -> None:
    await quota(store, monthly_spend=3 * NANODOLLARS_PER_DOLLAR)
    first, second = await create(store, new_batch("a")), await create(store, new_batch("b"))
    await run(store, first, succeeded=2, cost=2 * NANODOLLARS_PER_DOLLAR)
    assert (await use(store)).monthly_spend == 2 * NANODOLLARS_PER_DOLLAR
    await run(store, second, succeeded=2, cost=NANODOLLARS_PER_DOLLAR)
    with pytest.raises(QuotaExceeded, match=r"spend in a calendar month: the limit is \$3.00, and \$3.00 are spent"):
        await create(store, new_batch("c"))
    await end(store, first, size=1)
    assert not await end(store, first, size=1)
    assert (await use(store)).monthly_spend == 3 * NANODOLLARS_PER_DOLLAR
    await upload(store, "f", 1)  # an upload costs nothing
    next_month = NOW + 40 * DAY
    await end(store, second, size=1, now=next_month)
    assert (await use(store, next_month)).monthly_spend == 0
    third = await create(store, new_batch("c", created_at=next_month))
    await run(store, third, succeeded=2, cost=5, at=next_month)
    assert (await use(store, next_month)).monthly_spend == 5
    await quota(store, monthly_spend=None)
    assert [(await use(store, at)).monthly_spend for at in (NOW, next_month)] == [3 * NANODOLLARS_PER_DOLLAR, 5]
    batch = await store.find_batch("w", "a")
    assert batch is not None
    assert batch.spend.total == 2 * NANODOLLARS_PER_DOLLAR


async def test_stored_bytes_decrease_on_every_deletion(store: AnyStore) -> None:
    keys = [await create(store, new_batch(name, size=100)) for name in ("a", "b", "c")]
    for number, key in enumerate(keys):
        await run(store, key, succeeded=2)
        await end(store, key, size=10 + number)
    await upload(store, "f", 10_000)
    await upload(store, "g", 1, expires_at=LATER)
    assert (await use(store)).stored_bytes == 333 + 10_000 + 4096
    await store.delete_batch("w", "a", NOW)
    assert (await use(store)).stored_bytes == 223 + 10_000 + 4096
    await store.archive_batch(keys[1], NOW)
    await store.archive_batch(keys[1], NOW)
    assert (await use(store)).stored_bytes == 112 + 10_000 + 4096
    await store.delete_batch("w", "b", NOW)
    assert (await use(store)).stored_bytes == 112 + 10_000 + 4096
    await store.delete_file("w", "f", NOW)
    await store.delete_file("w", "f", NOW)
    assert (await use(store)).stored_bytes == 112 + 4096
    await store.expire_files(LATER)
    assert (await use(store)).stored_bytes == 112


async def test_the_counted_bytes_match_the_stored_bytes_after_concurrent_operations(store: AnyStore) -> None:
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    sizes = {f"b{n}": chance.randrange(1, 1000) for n in range(8)}
    keys = {name: await create(store, new_batch(name, size=size)) for name, size in sizes.items()}
    for key in keys.values():
        await run(store, key, succeeded=2)
    results = {name: chance.randrange(1, 1000) for name in sizes}
    await asyncio.gather(*(end(store, keys[name], size=results[name]) for name in sizes))
    gone = set(chance.sample(sorted(sizes), 5))
    work = [store.delete_batch("w", name, NOW) for name in gone] + [store.delete_batch("w", name, NOW) for name in gone]
    work += [store.archive_batch(keys[name], NOW) for name in gone]
    chance.shuffle(work)
    await asyncio.gather(*work)
    left = sum(sizes[name] + results[name] for name in sizes if name not in gone)
    assert (await use(store)).stored_bytes == left, f"seed {seed}"
