"""Wrong API keys: which of them reach the database, how many an address may send, and that good keys always work."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from batchgate.api import wrong_key_brake
from batchgate.api.wrong_key_brake import BURST, MAX_ADDRESSES, WrongKeyBrake
from batchgate.engine.model.api_key import SCOPES
from batchgate.engine.tenancy import api_key_cache
from batchgate.settings import ApiKeySettings
from batchgate.store.sqlite.tenants import SqliteTenants
from tests.support.raw_http import raw_connection
from tests.support.running_app import BATCHES, RunningApp, running_app

ROOT = {"x-api-key": "a-configured-key-of-the-operator"}
WRONG = {"x-api-key": "bg-wrong"}
SURFACES = [BATCHES, "/openai/v1/files", "/v1/batches?provider=openai", "/api/workspaces"]
PROXIED = ("127.0.0.0/8",)


@pytest.fixture(autouse=True)
def no_refill(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no allowance return while a test runs, however slow the machine is."""
    monkeypatch.setattr(wrong_key_brake, "REFILL", 0.0)


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[RunningApp]:
    keys = {"root": ApiKeySettings(key=ROOT["x-api-key"], scopes=SCOPES)}
    async with running_app(tmp_path / "data", api_keys=keys, trusted_proxies=PROXIED) as app:
        yield app


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Record the hashes that the database is asked for."""
    asked: list[bytes] = []
    find = SqliteTenants.find_key_by_digest

    async def recorded(self: SqliteTenants, digest: bytes) -> Any:
        asked.append(digest)
        return await find(self, digest)

    monkeypatch.setattr(SqliteTenants, "find_key_by_digest", recorded)
    return asked


async def call(app: RunningApp, headers: dict[str, str], path: str = BATCHES) -> tuple[int, str | None]:
    async with app.client.get(app.url + path, headers=headers) as response:
        await response.read()
        return response.status, response.headers.get("Retry-After")


async def send_wrong_keys(app: RunningApp, **headers: str) -> None:
    """Send as many wrong keys as an address may."""
    for number in range(BURST):
        assert await call(app, {"x-api-key": f"sk-{number}"} | headers) == (401, None)


async def new_key(app: RunningApp) -> dict[str, str]:
    _, created = await app.call("POST", "/api/workspaces/default/keys", json={"name": "key"}, headers=ROOT)
    return {"x-api-key": created["key"]}


@pytest.mark.parametrize(
    "key", ["sk-proj-of-a-provider", "", "x", "BG-capital", " bg", "sk-bf", "bearer", "\u00e9" * 9]
)
async def test_a_key_that_cannot_be_in_the_database_is_refused_without_asking_it(
    app: RunningApp, lookups: list[bytes], key: str
) -> None:
    assert (await call(app, {"Authorization": f"Bearer {key}"}))[0] == 401
    assert lookups == []


@pytest.mark.parametrize("key", ["bg-unknown", "sk-bf-unknown"])
async def test_a_key_that_may_be_in_the_database_is_looked_up_there(
    app: RunningApp, lookups: list[bytes], key: str
) -> None:
    assert (await call(app, {"x-api-key": key}))[0] == 401
    assert len(lookups) == 1


@pytest.mark.parametrize("path", SURFACES)
async def test_an_address_with_too_many_wrong_keys_has_to_wait(app: RunningApp, path: str) -> None:
    await send_wrong_keys(app)
    status, retry_after = await call(app, WRONG, path)
    assert (status, retry_after) == (429, "2")


async def test_good_keys_work_from_an_address_with_too_many_wrong_ones(app: RunningApp) -> None:
    used, unused = await new_key(app), await new_key(app)
    assert (await call(app, used))[0] == 200
    await send_wrong_keys(app)
    for good in (ROOT, used, unused, unused | {"Authorization": "Bearer bg-wrong"}):
        assert (await call(app, good))[0] == 200
    assert (await call(app, WRONG))[0] == 429


async def test_a_new_good_key_gets_through_a_flood_of_wrong_ones(app: RunningApp) -> None:
    unused = await new_key(app)
    await send_wrong_keys(app)
    flood = [asyncio.create_task(call(app, {"x-api-key": f"bg-{number}"})) for number in range(60)]
    while (await call(app, unused))[0] != 200:
        pass
    assert {status for status, _ in await asyncio.gather(*flood)} == {429}


async def test_a_flood_of_wrong_keys_asks_the_database_seldom_and_keeps_good_keys_cached(
    app: RunningApp, lookups: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_key_cache, "MAX_ENTRIES", 8)
    good = await new_key(app)
    assert (await call(app, good))[0] == 200
    await send_wrong_keys(app)
    lookups.clear()
    statuses = await asyncio.gather(*(call(app, {"x-api-key": f"bg-{number}"}) for number in range(60)))
    assert {status for status, _ in statuses} == {429}
    assert len(lookups) <= 20
    lookups.clear()
    assert (await call(app, good))[0] == 200
    assert lookups == [], "the good key was displaced from the cache"


async def test_one_address_slows_down_no_other(app: RunningApp) -> None:
    await send_wrong_keys(app, **{"X-Forwarded-For": "203.0.113.7"})
    assert (await call(app, WRONG | {"X-Forwarded-For": "203.0.113.7"}))[0] == 429
    assert (await call(app, WRONG | {"X-Forwarded-For": "203.0.113.8"}))[0] == 401
    assert (await call(app, WRONG | {"X-Forwarded-For": "203.0.113.8, 203.0.113.7"}))[0] == 429, "only its end counts"
    assert (await call(app, WRONG))[0] == 401


async def test_calls_without_a_key_are_not_counted(app: RunningApp) -> None:
    for _ in range(BURST + 5):
        assert (await call(app, {}))[0] == 401
    assert (await call(app, WRONG))[0] == 401


async def test_probes_of_health_are_answered_however_many_wrong_keys_came(app: RunningApp) -> None:
    await send_wrong_keys(app)
    assert (await call(app, WRONG, "/health"))[0] == 200


@pytest.mark.parametrize("name", ["x-api-key", "X-Goog-Api-Key", "x-bf-vk", "Authorization"])
async def test_a_key_header_that_is_given_twice_is_refused(app: RunningApp, name: str) -> None:
    value = "Bearer " * (name == "Authorization") + ROOT["x-api-key"]
    lines = f"GET {BATCHES} HTTP/1.1\r\nHost: localhost\r\n" + f"{name}: {value}\r\n" * 2 + "\r\n"
    async with raw_connection(app.url) as connection:
        await connection.send(lines.encode())
        answer = await connection.read_response()
    assert answer.status == 401
    assert b"given 2 times" in answer.body


def test_an_address_recovers_with_time_and_the_table_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wrong_key_brake, "REFILL", 0.5)
    now = 0.0
    brake = WrongKeyBrake(lambda: now)
    assert [brake.record_wrong_key("192.0.2.1") for _ in range(BURST + 2)] == [False] * BURST + [True] * 2
    now += 2.0
    assert [brake.record_wrong_key("192.0.2.1") for _ in range(2)] == [False, True]
    for number in range(MAX_ADDRESSES + 5):
        brake.record_wrong_key(f"address-{number}")
    assert len(brake._addresses) == MAX_ADDRESSES


def test_the_addresses_of_one_ipv6_network_count_together() -> None:
    brake = WrongKeyBrake(lambda: 0.0)
    assert not any(brake.record_wrong_key(f"2001:db8:0:1::{number:x}") for number in range(BURST))
    assert brake.record_wrong_key("2001:db8:0:1:ffff::1")
    assert not brake.record_wrong_key("2001:db8:0:2::1")
    assert not brake.record_wrong_key("::ffff:192.0.2.1")
