"""What a gateway believes of keys, told of the races between a look-up and a change."""

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
    """Tenants whose answers are held back after they have been read."""

    def __init__(self) -> None:
        self.key: ApiKey | None = KEY
        self.any = False
        self.broken = False
        self.read = asyncio.Event()
        self.let = asyncio.Event()
        self.let.set()

    async def find_key_by_digest(self, digest: bytes) -> ApiKey | None:  # noqa: ARG002 - the signature is the port's
        """Read the key, and answer when it is let."""
        found = self.key
        await self._hold()
        return found

    async def has_keys(self) -> bool:
        """Tell if there is any, when it is let."""
        found = self.any
        if self.broken:
            raise StoreError("it is away")
        await self._hold()
        return found

    async def _hold(self) -> None:
        self.read.set()
        await self.let.wait()


async def test_a_look_up_that_a_revocation_overtakes_is_not_remembered() -> None:
    store, clock = SlowTenants(), MovableClock()
    ring = ApiKeyCache(store, clock)
    store.let.clear()
    looking = asyncio.create_task(ring.find(KEY.digest))
    await store.read.wait()
    store.key = None
    ring.invalidate()
    store.let.set()
    assert await looking == KEY  # it was asked before
    assert await ring.find(KEY.digest) is None


async def test_a_gateway_is_closed_at_once_though_somebody_was_asking_when_its_first_key_came() -> None:
    store, clock = SlowTenants(), MovableClock()
    ring = ApiKeyCache(store, clock)
    store.let.clear()
    asking = asyncio.create_task(ring.has_keys())
    await store.read.wait()
    ring.invalidate()
    store.let.set()
    assert await asking
    store.broken = True
    assert await ring.has_keys()


async def test_while_the_database_is_away_a_gateway_is_as_open_as_it_was() -> None:
    store, clock = SlowTenants(), MovableClock()
    ring = ApiKeyCache(store, clock)
    store.broken = True
    with pytest.raises(StoreError):
        await ring.has_keys()
    store.broken = False
    assert not await ring.has_keys()
    store.broken, store.any = True, True
    clock.move(5)
    assert not await ring.has_keys()
    store.broken = False
    clock.move(5)
    assert await ring.has_keys()
    store.broken = True
    clock.move(5)
    assert await ring.has_keys()


async def test_a_clock_that_is_set_back_makes_nothing_believed_for_longer() -> None:
    store, clock = SlowTenants(), MovableClock()
    ring = ApiKeyCache(store, clock)
    assert await ring.find(KEY.digest) == KEY
    store.key = None
    clock.move(0.5)
    assert await ring.find(KEY.digest) == KEY
    clock.move(-3600)
    assert await ring.find(KEY.digest) is None
