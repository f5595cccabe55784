"""Callers follow batches as server-sent events: what changes, to the end, and after a lost connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from batchgate.api.gateway import event_feed, events
from batchgate.api.gateway.event_feed import INTERVAL
from batchgate.app import STORE
from batchgate.settings import ApiKeySettings
from tests.support.databases import DATABASES, Database, new_database
from tests.support.event_stream import Event, events_of
from tests.support.held_provider import HeldProvider, held_provider
from tests.support.postgres_server import fresh_database
from tests.support.running_app import MovableClock, RunningApp, running_app

TIMEOUT = 120.0  # seconds; only a state that never comes should exceed it
IDS = ("a", "b", "c")


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with new_database(request.param, tmp_path) as database:
        yield database


@pytest.fixture
async def provider() -> AsyncIterator[HeldProvider]:
    async with held_provider() as provider, asyncio.timeout(TIMEOUT):
        yield provider


@pytest.fixture
async def app(provider: HeldProvider, database: Database, tmp_path: Path) -> AsyncIterator[RunningApp]:
    async with running_app(tmp_path, database_url=database.url, **settings(provider)) as app:
        yield app


def settings(provider: HeldProvider, **more: Any) -> dict[str, Any]:
    return {"accounts": {"a": provider.account(concurrency=64)}} | more


def path_of(batch: dict[str, Any], action: str = "events") -> str:
    return f"/api/batches/{batch['id']}/{action}"


def short(events: list[Event]) -> list[tuple[str, object]]:
    """Return events as their names with what they are about."""
    return [(event.name, event.data.get("action", event.data.get("status"))) for event in events]


async def test_a_stream_begins_with_the_state_shows_what_changes_and_ends_with_the_batch(
    app: RunningApp, provider: HeldProvider
) -> None:
    batch = await app.create(*IDS)
    async with events_of(app, path_of(batch)) as stream:
        first = await stream.until("status", status="in_progress")
        assert (first.data["id"], first.data["total"], first.data["succeeded"]) == (batch["id"], 3, 0)
        await app.call("POST", path_of(batch, "pause"), params={"reason": "why"})
        paused = await stream.until("action", action="paused")
        assert (paused.data["id"], paused.data["detail"], paused.data["by"]) == (batch["id"], "why", None)
        assert (await stream.until("progress")).data["paused"]["code"] == "requested"
        await app.call("POST", path_of(batch, "resume"))
        await stream.until("action", action="resumed")
        provider.answering.set()
        ended = await stream.until("status", status="ended")
        assert ended.data["succeeded"] == 3
        assert await stream.rest() == []
    _, listed = await app.call("GET", "/api/batches")
    assert listed["data"] == [ended.data]


async def test_a_client_that_comes_back_gets_what_it_missed_and_after_the_end_nothing(
    app: RunningApp, provider: HeldProvider
) -> None:
    batch = await app.create(*IDS)
    async with events_of(app, path_of(batch)) as stream:
        await stream.until("status")
        last_id = stream.last_id
    app.clock.move(60)
    for action in ("pause", "resume"):
        await app.call("POST", path_of(batch, action))
    provider.answering.set()
    await app.ended(batch["id"])
    async with events_of(app, path_of(batch), str(app.clock.now())) as stream:  # its look may have missed the end
        assert short(await stream.rest())[-1] == ("status", "ended")
    app.clock.move(60)
    async with events_of(app, path_of(batch), last_id) as stream:
        missed = await stream.rest()
        last_id = stream.last_id
    assert short(missed) == [("action", "paused"), ("action", "resumed"), ("status", "ended")]
    assert last_id is not None
    async with app.client.get(app.url + path_of(batch), headers={"Last-Event-ID": last_id}) as response:
        assert (response.status, await response.read()) == (204, b"")
    async with events_of(app, path_of(batch)) as stream:
        assert short(await stream.rest()) == [("status", "ended")]


async def test_a_workspace_shows_its_batches_from_their_creation_to_their_end(
    app: RunningApp, provider: HeldProvider
) -> None:
    running = await app.create(*IDS)
    async with events_of(app, "/api/events") as stream:
        assert (await stream.until("status")).data["id"] == running["id"]
        created = await app.create(*IDS)
        await stream.until("status", id=created["id"], status="in_progress")
        last_id = stream.last_id
        await app.call("POST", path_of(created, "pause"))
        await stream.until("action", id=created["id"], action="paused")
        await app.call("POST", path_of(created, "resume"))
        provider.answering.set()
        waiting = {running["id"], created["id"]}
        while waiting:
            waiting.remove((await stream.until("status", status="ended")).data["id"])
    app.clock.move(60)
    async with events_of(app, "/api/events", last_id, params={"max_seconds": 1}) as stream:
        missed = await stream.rest()
    assert short(missed[:2]) == [("action", "paused"), ("action", "resumed")]
    assert {event.data["id"] for event in missed if event.data.get("status") == "ended"} == {
        running["id"],
        created["id"],
    }
    async with events_of(app, "/api/events", params={"max_seconds": 1}) as stream:
        late = await stream.rest()
    assert [event.data["id"] for event in late if event.name == "action"] == []


async def test_a_stream_shows_nothing_of_another_workspace(provider: HeldProvider, tmp_path: Path) -> None:
    keys = {name: ApiKeySettings(key=f"sk-{name}", workspace=name) for name in ("one", "two")}
    one, two = ({"headers": {"x-api-key": f"sk-{name}"}} for name in keys)
    async with running_app(tmp_path, **settings(provider, api_keys=keys)) as app:
        batch, own = await app.create("a", **one), await app.create("a", **two)
        await app.call("POST", path_of(batch, "pause"), **one)
        async with events_of(app, "/api/events", "1", params={"max_seconds": 2}, **two) as stream:
            await app.call("POST", path_of(batch, "resume"), **one)
            assert {event.data["id"] for event in await stream.rest()} == {own["id"]}
        assert (await app.call("GET", path_of(batch), **two))[0] == 404


async def test_a_batch_that_is_deleted_ends_its_streams(app: RunningApp, provider: HeldProvider) -> None:
    provider.answering.set()
    batch = await app.create("a")
    await app.ended(batch["id"])
    async with events_of(app, "/api/events", "1", params={"max_seconds": 3}) as stream:
        await stream.until("status", status="ended")
        await app.call("DELETE", f"/anthropic/v1/messages/batches/{batch['id']}")
        assert await stream.rest() == []
    assert (await app.call("GET", path_of(batch)))[0] == 404


async def test_many_streams_of_a_workspace_cost_one_look_a_second(
    provider: HeldProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_app(tmp_path, **settings(provider, max_event_streams_per_key=500)) as app:
        await app.create("a")
        looks = 0
        recent_batches = app.app[STORE].events.recent_batches  # type: ignore[attr-defined]

        async def counted(*args: Any, **options: Any) -> Any:
            nonlocal looks
            looks += 1
            return await recent_batches(*args, **options)

        monkeypatch.setattr(app.app[STORE].events, "recent_batches", counted)  # type: ignore[attr-defined]

        async def follow() -> int:
            async with events_of(app, "/api/events", params={"max_seconds": 3}) as stream:
                return len(await stream.rest())

        assert set(await asyncio.gather(*(follow() for _ in range(50)))) == {1}
        assert looks <= 50 + 3 / INTERVAL + 2


async def test_a_key_has_a_maximum_of_streams(provider: HeldProvider, tmp_path: Path) -> None:
    limited = settings(provider, max_event_streams_per_key=1)
    async with running_app(tmp_path, **limited) as app, events_of(app, "/api/events"):
        status, refused = await app.call("GET", "/api/events")
        assert status == 529
        assert "1 streams open, the maximum" in refused["error"]["message"]


async def test_a_quiet_stream_sends_comments_and_ends_when_its_key_is_revoked(
    provider: HeldProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "HEARTBEAT", 0.05)
    admin = {"headers": {"x-api-key": "sk-admin"}}
    keys = {"admin": ApiKeySettings(key="sk-admin", scopes=("admin",))}
    async with running_app(tmp_path, **settings(provider, api_keys=keys)) as app:
        _, made = await app.call("POST", "/api/workspaces/default/keys", json={"name": "k"}, **admin)
        async with events_of(app, "/api/events", headers={"x-api-key": made["key"]}) as stream:
            reading = asyncio.create_task(stream.rest())
            await stream.commented.wait()
            status, _ = await app.call("DELETE", f"/api/keys/{made['id']}", **admin)
            assert status == 200
            app.clock.move(2)
            assert await reading == []


async def test_a_client_that_does_not_read_is_dropped(
    provider: HeldProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "MOST_WAITING", 0)
    async with running_app(tmp_path, **settings(provider)) as app:
        batch = await app.create("a")
        async with events_of(app, path_of(batch)) as stream:
            await stream.until("status")
            await app.call("POST", path_of(batch, "pause"))
            with pytest.raises(aiohttp.ClientPayloadError):
                await stream.rest()


async def test_a_gateway_that_stops_ends_its_streams(provider: HeldProvider, tmp_path: Path) -> None:
    async with running_app(tmp_path, **settings(provider)) as app:
        batch = await app.create("a")
        async with events_of(app, path_of(batch)) as one, events_of(app, "/api/events") as two:
            await one.until("status")
            await two.until("status")
            await app.app.shutdown()
            assert (await one.rest(), await two.rest()) == ([], [])
            assert (await app.call("GET", "/api/events"))[0] == 529


async def test_a_stream_goes_on_at_another_gateway(provider: HeldProvider, tmp_path: Path) -> None:
    with fresh_database() as url:
        given = settings(provider, database_url=url, clock=MovableClock())
        async with (
            running_app(tmp_path, role="gateway", **given) as first,
            running_app(tmp_path, role="gateway", **given) as second,
            running_app(tmp_path, role="worker", **given),
        ):
            batch = await first.create(*IDS)
            async with events_of(first, path_of(batch)) as one, events_of(second, "/api/events") as other:
                await one.until("status")
                await other.until("status", id=batch["id"])
                await second.call("POST", path_of(batch, "pause"))
                await one.until("action", action="paused")
                await first.call("POST", path_of(batch, "resume"))
                await other.until("action", action="resumed")
            provider.answering.set()
            async with events_of(second, path_of(batch), one.last_id) as stream:
                assert short(await stream.rest())[-1] == ("status", "ended")
