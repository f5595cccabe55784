"""The contract of `TenantStore` for API keys, on every database."""

import asyncio

import pytest

from batchgate.engine.model.api_key import hash_key
from batchgate.engine.model.errors import RefusedError
from tests.integration.contracts.tenants.stored_rows import (
    LATER,
    NOW,
    AnyStore,
    a_key,
)


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
