"""The contract of `TenantStore`, and of the quotas in `Store`, on every database."""

import asyncio
import random
from collections.abc import AsyncIterator

import msgspec
import pytest

from batchgate.engine.model.api_key import ApiKey, Scope, hash_key
from batchgate.engine.model.batch import NewBatch, ValidatedInput
from batchgate.engine.model.clock import DAY
from batchgate.engine.model.errors import QuotaExceeded, RefusedError
from batchgate.engine.model.file import NewFile
from batchgate.engine.model.shard import ResultChunk, Shard
from batchgate.engine.model.usage import Counts, Usage
from batchgate.engine.model.workspace import NANODOLLARS_PER_DOLLAR, Quotas, QuotaUsage, Workspace, month_of
from batchgate.store.postgres import PostgresStore
from batchgate.store.sqlite import SqliteStore
from tests.support.databases import Database

AnyStore = SqliteStore | PostgresStore
NOW = 1_795_000_000_000_000
MONTH = month_of(NOW)
LATER = NOW + 1_000_000


@pytest.fixture
async def store(database: Database) -> AsyncIterator[AnyStore]:
    """Open a store with the workspaces ``w`` and ``v``."""
    async with database.store() as store:
        await store.tenants.ensure_workspaces(["w", "v"], NOW)
        yield store


def a_key(name: str = "k", *, workspace: str = "w", scopes: tuple[Scope, ...] = ("read",), **more: int) -> ApiKey:
    """Return a key whose id and hash are derived from its name."""
    return ApiKey(
        id=f"key_{name}",
        digest=hash_key(name),
        name=name,
        workspace=workspace,
        scopes=scopes,
        hint=name[-4:],
        created_at=NOW,
        **more,
    )


def new_batch(batch_id: str, *, requests: int = 2, size: int = 100, workspace: str = "w") -> NewBatch:
    return NewBatch(
        id=batch_id,
        workspace=workspace,
        dialect="openai",
        provider="p",
        headers={},
        created_at=NOW,
        expires_at=NOW + DAY,
        input_blob=f"{batch_id}/input",
        shards=(Shard(index=0, first_seq=0, requests=requests, offset=0, length=size, checksum=0),),
    )


def batch_of_a_file(batch_id: str) -> NewBatch:
    return NewBatch(
        id=batch_id,
        workspace="w",
        dialect="openai",
        provider="p",
        headers={},
        created_at=NOW,
        expires_at=NOW + DAY,
        input_blob=None,
    )


async def create(store: AnyStore, new: NewBatch) -> int:
    """Create a batch and return its key."""
    if new.input_blob is not None:
        await store.add_orphan_blob(new.input_blob)
    batch, _ = await store.create_batch(new)
    return batch.key


async def upload(store: AnyStore, file_id: str, size: int, *, expires_at: int | None = None) -> None:
    await store.add_orphan_blob(f"{file_id}/content")
    new = NewFile(
        id=file_id,
        workspace="w",
        provider="p",
        purpose="batch",
        filename="a.jsonl",
        size=size,
        sha256=b"",
        created_at=NOW,
        expires_at=expires_at,
        blob=f"{file_id}/content",
    )
    await store.create_file(new)


async def run(store: AnyStore, key: int, *, succeeded: int, cost: int = 0, of: int = 2) -> None:
    """Write the results of all requests of a batch with one shard."""
    [job] = [job for job in await store.unfinished_jobs() if job.batch_key == key]
    claim = await store.claim_shard(job)
    assert claim is not None
    seqs = tuple(range(of))
    chunk = ResultChunk(
        seqs=seqs, lines=b"{}\n" * of, succeeded=succeeded, errored=of - succeeded, usage=Usage(), cost=cost
    )
    await store.append_chunk(claim, chunk, shard_done=True)


async def end(store: AnyStore, key: int, *, size: int, now: int = NOW) -> bool:
    await store.add_orphan_blob(f"{key}/results")
    counts = Counts(total=2, succeeded=2)
    return await store.end_batch(key, counts=counts, results_blob=f"{key}/results", results_size=size, now=now)


async def quota(store: AnyStore, **quotas: int | None) -> None:
    assert await store.tenants.update_quotas("w", quotas) is not None


async def use(store: AnyStore, month: str = MONTH) -> QuotaUsage:
    return await store.tenants.find_usage("w", month)


# ---------------------------------------------------------------- workspaces


async def test_a_workspace_is_read_back_as_it_was_created(store: AnyStore) -> None:
    quotas = Quotas(queued_requests=1, concurrent_batches=0, stored_bytes=10**15, monthly_spend=10**18)
    new = Workspace(name="research", created_at=NOW, quotas=quotas)
    assert await store.tenants.create_workspace(new)
    assert await store.tenants.find_workspace("research") == new
    assert not await store.tenants.create_workspace(new)


@pytest.mark.parametrize("name", ["W", "w ", "nobody", "", "w\0"])
async def test_an_unknown_workspace_is_not_found(store: AnyStore, name: str) -> None:
    assert await store.tenants.find_workspace(name) is None
    assert await store.tenants.update_quotas(name, {"stored_bytes": 1}) is None
    assert not await store.tenants.archive_workspace(name, NOW)


async def test_workspaces_are_listed_by_the_bytes_of_their_names(store: AnyStore) -> None:
    for name in ("Z", "a", "ä", "B", "_"):
        await store.tenants.create_workspace(Workspace(name=name, created_at=NOW))
    names = ["B", "Z", "_", "a", "v", "w", "ä"]
    page = await store.tenants.list_workspaces(after=None, limit=4)
    assert ([workspace.name for workspace in page.workspaces], page.has_more) == (names[:4], True)
    page = await store.tenants.list_workspaces(after="a", limit=3)
    assert ([workspace.name for workspace in page.workspaces], page.has_more) == (names[4:], False)


async def test_concurrent_changes_of_different_quotas_are_all_kept(store: AnyStore) -> None:
    changes: list[dict[str, int | None]] = [{name: 7} for name in Quotas.__struct_fields__]
    await asyncio.gather(*(store.tenants.update_quotas("w", change) for change in changes))
    changed = await store.tenants.update_quotas("w", {"stored_bytes": None})
    assert changed is not None
    assert changed.quotas == Quotas(queued_requests=7, concurrent_batches=7, stored_bytes=None, monthly_spend=7)


async def test_an_empty_workspace_is_archived_and_its_name_is_not_reused(store: AnyStore) -> None:
    key = await create(store, new_batch("a"))
    await upload(store, "f", 5)
    await store.tenants.create_key(a_key(), first=False)
    with pytest.raises(RefusedError, match="still has batches and files and keys"):
        await store.tenants.archive_workspace("w", NOW)
    await run(store, key, succeeded=2)
    await end(store, key, size=1)
    await store.delete_batch("w", "a", NOW)
    await store.delete_file("w", "f", NOW)
    with pytest.raises(RefusedError, match="still has keys; delete"):
        await store.tenants.archive_workspace("w", NOW)
    await store.tenants.revoke_key("key_k", NOW, another_admin=True)
    assert await store.tenants.archive_workspace("w", NOW)
    assert await store.tenants.find_workspace("w") is None
    assert [found.name for found in (await store.tenants.list_workspaces(after=None, limit=9)).workspaces] == ["v"]
    assert not await store.tenants.create_workspace(Workspace(name="w", created_at=NOW))
    with pytest.raises(RefusedError, match="no workspace 'w'"):
        await store.tenants.create_key(a_key("other"), first=False)
    await store.tenants.ensure_workspaces(["w"], NOW)
    assert await store.tenants.find_workspace("w") is not None


# ---------------------------------------------------------------- keys


async def test_a_key_is_found_by_its_hash_and_by_its_id(store: AnyStore) -> None:
    assert not await store.tenants.has_keys()
    key = a_key(scopes=("read", "submit", "admin"), expires_at=LATER)
    await store.tenants.create_key(key, first=True)
    assert await store.tenants.has_keys()
    assert await store.tenants.find_key_by_digest(key.digest) == key
    assert await store.tenants.find_key(key.id) == key
    assert await store.tenants.find_key_by_digest(hash_key("K")) is None
    for nobody in ("key_K", "", "key_k\0"):
        assert await store.tenants.find_key(nobody) is None
        assert await store.tenants.revoke_key(nobody, NOW, another_admin=True) is None


async def test_only_one_of_two_first_keys_is_created(store: AnyStore) -> None:
    created = await asyncio.gather(
        *(store.tenants.create_key(a_key(f"k{n}", scopes=("admin",)), first=True) for n in range(4)),
        return_exceptions=True,
    )
    refused = [error for error in created if error is not None]
    assert len(refused) == 3
    assert all(isinstance(error, RefusedError) and error.kind == "authentication_error" for error in refused)


async def test_keys_are_listed_newest_first_and_foreign_cursors_are_unknown(store: AnyStore) -> None:
    for number in range(5):
        await store.tenants.create_key(a_key(f"k{number}"), first=False)
    await store.tenants.create_key(a_key("foreign", workspace="v"), first=False)
    page = await store.tenants.list_keys("w", after=None, limit=2)
    assert page is not None
    assert ([key.name for key in page.keys], page.has_more) == (["k4", "k3"], True)
    page = await store.tenants.list_keys("w", after="key_k3", limit=3)
    assert page is not None
    assert ([key.name for key in page.keys], page.has_more) == (["k2", "k1", "k0"], False)
    for unknown in ("key_foreign", "key_none", "key_k0\0"):
        assert await store.tenants.list_keys("w", after=unknown, limit=3) is None


async def test_a_rotated_key_is_valid_until_its_grace_period_ends(store: AnyStore) -> None:
    await store.tenants.create_key(a_key("old"), first=False)
    await store.tenants.rotate_key("key_old", a_key("new"), LATER)
    old = await store.tenants.find_key("key_old")
    assert old is not None
    assert old.is_valid_at(LATER - 1)
    assert not old.is_valid_at(LATER)
    assert await store.tenants.find_key_by_digest(hash_key("new")) == a_key("new")


async def test_only_one_of_two_concurrent_rotations_succeeds(store: AnyStore) -> None:
    await store.tenants.create_key(a_key("old"), first=False)
    done = await asyncio.gather(
        *(store.tenants.rotate_key("key_old", a_key(f"new{n}"), NOW) for n in range(2)), return_exceptions=True
    )
    [refused] = [error for error in done if error is not None]
    assert "has expired or was revoked" in str(refused)
    page = await store.tenants.list_keys("w", after=None, limit=9)
    assert page is not None
    assert len(page.keys) == 2


async def test_an_expired_key_is_not_rotated(store: AnyStore) -> None:
    await store.tenants.create_key(a_key("old", expires_at=NOW), first=False)
    with pytest.raises(RefusedError, match="has expired or was revoked"):
        await store.tenants.rotate_key("key_old", a_key("new"), NOW)
    assert await store.tenants.find_key("key_new") is None


async def test_a_key_is_revoked_once(store: AnyStore) -> None:
    await store.tenants.create_key(a_key(), first=False)
    revoked = await store.tenants.revoke_key("key_k", NOW, another_admin=False)
    assert revoked is not None
    assert revoked.revoked_at == NOW
    assert await store.tenants.revoke_key("key_k", LATER, another_admin=False) == revoked


async def test_revoking_a_key_ends_its_grace_period(store: AnyStore) -> None:
    await store.tenants.create_key(a_key("old"), first=False)
    await store.tenants.rotate_key("key_old", a_key("new"), LATER)
    revoked = await store.tenants.revoke_key("key_old", NOW, another_admin=False)
    assert revoked is not None
    assert revoked.revoked_at == NOW


async def test_the_last_admin_key_cannot_be_revoked(store: AnyStore) -> None:
    await store.tenants.create_key(a_key("one", scopes=("admin",)), first=True)
    await store.tenants.create_key(a_key("reader"), first=False)
    await store.tenants.create_key(a_key("gone", scopes=("admin",), expires_at=NOW), first=False)
    with pytest.raises(RefusedError, match="is the last valid key with the scope admin"):
        await store.tenants.revoke_key("key_one", NOW, another_admin=False)
    assert (await store.tenants.revoke_key("key_gone", NOW, another_admin=False)) is not None
    await store.tenants.rotate_key("key_one", a_key("two", scopes=("read", "admin")), LATER)
    with pytest.raises(
        RefusedError, match="is the last valid key with the scope admin"
    ):  # the other key is in its grace period
        await store.tenants.revoke_key("key_two", NOW, another_admin=False)
    await store.tenants.revoke_key("key_one", NOW, another_admin=False)
    revoked = await store.tenants.revoke_key("key_two", NOW, another_admin=True)
    assert revoked is not None
    assert revoked.revoked_at == NOW


async def test_concurrent_revocations_keep_one_admin_key(store: AnyStore) -> None:
    for name in ("one", "two"):
        await store.tenants.create_key(a_key(name, scopes=("admin",)), first=False)
    done = await asyncio.gather(
        *(store.tenants.revoke_key(f"key_{name}", NOW, another_admin=False) for name in ("one", "two")),
        return_exceptions=True,
    )
    assert sum(isinstance(one, RefusedError) for one in done) == 1


async def test_the_time_of_last_use_never_decreases(store: AnyStore) -> None:
    await store.tenants.create_key(a_key("a"), first=False)
    await store.tenants.create_key(a_key("b"), first=False)
    await store.tenants.record_key_use({"key_a": LATER, "key_b": NOW, "key_none": NOW})
    await store.tenants.record_key_use({"key_a": NOW, "key_b": LATER})
    for name in ("a", "b"):
        found = await store.tenants.find_key(f"key_{name}")
        assert found is not None
        assert found.last_used_at == LATER


# ---------------------------------------------------------------- quotas


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
    assert await use(store) == QuotaUsage(queued_requests=5, concurrent_batches=2, stored_bytes=310)


async def test_a_refused_create_stores_nothing(store: AnyStore) -> None:
    await quota(store, concurrent_batches=0)
    with pytest.raises(QuotaExceeded):
        await create(store, new_batch("a"))
    assert await store.find_batch("w", "a") is None
    assert await use(store) == QuotaUsage()
    assert list(await store.unfinished_jobs()) == []
    assert await store.tombstone_blob("a/input")


async def test_only_one_of_two_concurrent_creates_takes_the_rest_of_a_quota(store: AnyStore) -> None:
    await quota(store, concurrent_batches=3, stored_bytes=1000)
    done = await asyncio.gather(*(create(store, new_batch(f"b{n}")) for n in range(12)), return_exceptions=True)
    assert sum(isinstance(one, QuotaExceeded) for one in done) == 9
    assert (await use(store)).concurrent_batches == 3
    uploaded = await asyncio.gather(*(upload(store, f"f{n}", 300) for n in range(6)), return_exceptions=True)
    assert sum(isinstance(one, QuotaExceeded) for one in uploaded) == 4
    assert (await use(store)).stored_bytes == 900


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
    assert await use(store) == QuotaUsage(queued_requests=3, concurrent_batches=2, stored_bytes=150)
    with pytest.raises(QuotaExceeded, match="queued requests"):
        await create(store, batch_of_a_file("c"))


async def test_costs_count_for_open_batches_and_in_the_month_of_their_end(store: AnyStore) -> None:
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
    assert (await use(store)).monthly_spend == 2 * NANODOLLARS_PER_DOLLAR
    assert (await use(store, month_of(next_month))).monthly_spend == NANODOLLARS_PER_DOLLAR
    await create(store, new_batch("c"))
    batch = await store.find_batch("w", "a")
    assert batch is not None
    assert batch.cost == 2 * NANODOLLARS_PER_DOLLAR


async def test_stored_bytes_decrease_on_every_deletion(store: AnyStore) -> None:
    keys = [await create(store, new_batch(name, size=100)) for name in ("a", "b", "c")]
    for number, key in enumerate(keys):
        await run(store, key, succeeded=2)
        await end(store, key, size=10 + number)
    await upload(store, "f", 1000)
    await upload(store, "g", 2000, expires_at=LATER)
    assert (await use(store)).stored_bytes == 3333
    await store.delete_batch("w", "a", NOW)
    assert (await use(store)).stored_bytes == 3223
    await store.archive_batch(keys[1], NOW)
    await store.archive_batch(keys[1], NOW)
    assert (await use(store)).stored_bytes == 3112
    await store.delete_batch("w", "b", NOW)
    assert (await use(store)).stored_bytes == 3112
    await store.delete_file("w", "f", NOW)
    await store.delete_file("w", "f", NOW)
    assert (await use(store)).stored_bytes == 2112
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
