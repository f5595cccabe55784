"""The cache of API keys, and races between a read and a change of a key."""

from __future__ import annotations

import asyncio

import pytest

from batchgate.engine.model.api_key import ApiKey, hash_key
from batchgate.engine.model.errors import StoreError
from batchgate.engine.tenancy.api_key_cache import ApiKeyCache
from batchgate.store.sqlite.tenants import SqliteTenants
from tests.support.running_app import MovableClock

KEY = ApiKey(
    id="key_1", digest=hash_key("k"), name="k", workspace="default", scopes=("read",), hint="kkkk", created_at=0
)


class SlowTenants(SqliteTenants):
    """Tenants whose reads return only when the test lets them."""

    def __init__(self) -> None:
        self.key: ApiKey | None = KEY
        self.found_keys = False
        self.broken = False
        self.read = asyncio.Event()
        self.released = asyncio.Event()
        self.released.set()

    async def find_key_by_digest(self, digest: bytes) -> ApiKey | None:  # noqa: ARG002 - the signature is the port's
        """Read the key, and return it once released."""
        found = self.key
        await self._hold()
        return found

    async def has_keys(self) -> bool:
        """Check for keys, and return once released."""
        found = self.found_keys
        if self.broken:
            raise StoreError("unreachable")
        await self._hold()
        return found

    async def _hold(self) -> None:
        self.read.set()
        await self.released.wait()


async def test_a_read_that_started_before_a_revocation_is_not_cached() -> None:
    store, clock = SlowTenants(), MovableClock()
    cache = ApiKeyCache(store, clock)
    store.released.clear()
    reading = asyncio.create_task(cache.find(KEY.digest))
    await store.read.wait()
    store.key = None
    cache.invalidate()
    store.released.set()
    assert await reading == KEY  # the read started before
    assert await cache.find(KEY.digest) is None


async def test_keys_are_required_at_once_after_the_first_key_although_a_check_was_in_progress() -> None:
    store, clock = SlowTenants(), MovableClock()
    cache = ApiKeyCache(store, clock)
    store.released.clear()
    checking = asyncio.create_task(cache.has_keys())
    await store.read.wait()
    cache.invalidate()
    store.released.set()
    assert await checking
    store.broken = True
    assert await cache.has_keys()


async def test_the_last_result_holds_while_the_database_is_unreachable() -> None:
    store, clock = SlowTenants(), MovableClock()
    cache = ApiKeyCache(store, clock)
    store.broken = True
    with pytest.raises(StoreError):
        await cache.has_keys()
    store.broken = False
    assert not await cache.has_keys()
    store.broken, store.found_keys = True, True
    clock.move(5)
    assert not await cache.has_keys()
    store.broken = False
    clock.move(5)
    assert await cache.has_keys()
    store.broken = True
    clock.move(5)
    assert await cache.has_keys()


async def test_setting_the_clock_back_does_not_extend_the_life_of_an_entry() -> None:
    store, clock = SlowTenants(), MovableClock()
    cache = ApiKeyCache(store, clock)
    assert await cache.find(KEY.digest) == KEY
    store.key = None
    clock.move(0.5)
    assert await cache.find(KEY.digest) == KEY
    clock.move(-3600)
    assert await cache.find(KEY.digest) is None
