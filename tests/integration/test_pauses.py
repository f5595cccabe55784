"""A paused batch sends nothing, holds nothing, and goes on where it was."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from batchgate.engine.dispatch.shard_run import STORAGE_RETRY
from batchgate.engine.support import failpoints
from batchgate.settings import ApiKeySettings
from tests.support.databases import DATABASES, Database, new_database
from tests.support.health import problem_texts
from tests.support.held_provider import HeldProvider, held_provider
from tests.support.running_app import BATCHES, RunningApp, create_body, running_app

TIMEOUT = 60.0  # seconds; only a state that never comes should exceed it
HOUR = 3600.0
CONCURRENCY = 4
IDS = [f"r{number}" for number in range(20)]


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
    return {"accounts": {"a": provider.account(CONCURRENCY)}} | more


async def control(app: RunningApp, action: str, batch_id: str, **options: Any) -> dict[str, Any]:
    """Pause or resume a batch."""
    status, answer = await app.call("POST", f"/api/batches/{batch_id}/{action}", **options)
    assert status == 200, answer
    assert isinstance(answer, dict)
    return answer


async def progress(app: RunningApp, batch_id: str) -> dict[str, Any]:
    _, progress = await app.call("GET", f"/api/batches/{batch_id}/progress")
    assert isinstance(progress, dict)
    return progress


async def until_succeeded(app: RunningApp, batch_id: str, number: int) -> None:
    while (await progress(app, batch_id))["succeeded"] < number:
        pass


async def pause_with_calls_in_flight(app: RunningApp, provider: HeldProvider) -> str:
    """Create a batch, pause it once calls are in flight, and let these finish."""
    batch_id: str = (await app.create(*IDS))["id"]
    await provider.until_called(CONCURRENCY)
    await control(app, "pause", batch_id)
    await until_applied(app)
    provider.answering.set()
    await until_succeeded(app, batch_id, CONCURRENCY)
    return batch_id


async def until_applied(app: RunningApp) -> None:
    """Give the process as long as a message between processes takes to arrive."""
    for _ in range(50):
        await app.call("GET", "/health")


async def test_a_paused_batch_sends_nothing_for_an_hour_and_goes_on_where_it_was(
    app: RunningApp, provider: HeldProvider
) -> None:
    batch_id = await pause_with_calls_in_flight(app, provider)
    for _ in range(60):
        app.clock.move(HOUR / 60)
        await app.call("GET", "/health")
    assert provider.calls == CONCURRENCY
    assert (await progress(app, batch_id))["succeeded"] == CONCURRENCY
    await control(app, "resume", batch_id)
    counts = (await app.ended(batch_id))["request_counts"]
    assert counts == {"processing": 0, "succeeded": len(IDS), "errored": 0, "canceled": 0, "expired": 0}
    assert provider.calls == len(IDS)
    assert [line["custom_id"] for line in await app.results(batch_id)] == IDS


async def test_the_progress_says_who_paused_a_batch_and_why_and_the_surfaces_show_it_in_progress(
    provider: HeldProvider, tmp_path: Path
) -> None:
    keys = {"nightly": ApiKeySettings(key="sk-nightly")}
    key: dict[str, Any] = {"headers": {"x-api-key": "sk-nightly"}}
    async with running_app(tmp_path, **settings(provider, api_keys=keys)) as app:
        batch_id = (await app.create(*IDS, **key))["id"]
        paused = (await control(app, "pause", batch_id, params={"reason": "a typo\x07"}, **key))["paused"]
        assert (paused["code"], paused["reason"], paused["by"]) == ("requested", "a typo ", "nightly")
        assert paused["since"].startswith("2026-")
        assert (await control(app, "pause", batch_id, params={"reason": "b"}, **key))["paused"] == paused
        _, found = await app.call("GET", f"/api/batches/{batch_id}/progress", **key)
        assert (found["status"], found["paused"]) == ("in_progress", paused)
        _, shown = await app.call("GET", f"{BATCHES}/{batch_id}", **key)
        assert shown["processing_status"] == "in_progress"
        assert (await control(app, "resume", batch_id, **key))["paused"] is None
        assert (await control(app, "resume", batch_id, **key))["paused"] is None
        _, timeline = await app.call("GET", f"/api/batches/{batch_id}/timeline", **key)
        assert [(entry["action"], entry["by"], entry["detail"]) for entry in timeline["data"]] == [
            ("paused", "nightly", "a typo "),
            ("resumed", "nightly", None),
        ]


async def test_a_paused_batch_leaves_the_provider_to_others(app: RunningApp, provider: HeldProvider) -> None:
    _, first = await app.call("POST", BATCHES, json=create_body(*IDS, model="first"))
    await provider.until_called(CONCURRENCY)
    await control(app, "pause", first["id"])
    await until_applied(app)
    _, second = await app.call("POST", BATCHES, json=create_body(*IDS, model="second"))
    provider.answering.set()
    assert (await app.ended(second["id"]))["request_counts"]["succeeded"] == len(IDS)
    assert provider.models.count("first") == CONCURRENCY


async def test_a_batch_that_is_resumed_while_calls_are_in_flight_goes_on_with_the_same_shard(
    app: RunningApp, provider: HeldProvider
) -> None:
    # The rest of the shard must not wait for the end of the slowest call that was in flight at the pause.
    batch_id = (await app.create(*IDS))["id"]
    await provider.until_called(CONCURRENCY)
    for action in ("pause", "resume", "pause", "resume"):
        await control(app, action, batch_id)
        await until_applied(app)
    assert provider.calls == CONCURRENCY
    provider.answering.set()
    assert (await app.ended(batch_id))["request_counts"]["succeeded"] == len(IDS)
    assert provider.calls == len(IDS)


async def test_a_shard_that_waits_after_an_error_is_not_claimed_twice_once_it_is_resumed(
    app: RunningApp, provider: HeldProvider
) -> None:
    # The first run would lose its claim to the second, and the requests in flight would be sent and paid for again.
    failpoints.arm_failpoints({failpoints.VARIABLE: "shard_claimed=raise"})
    batch_id = (await app.create(*IDS))["id"]
    while not problem_texts((await app.call("GET", "/health"))[1]):
        pass
    failed = asyncio.get_running_loop().time()
    await control(app, "pause", batch_id)
    await until_applied(app)
    await control(app, "resume", batch_id)
    await provider.until_called(CONCURRENCY)
    while asyncio.get_running_loop().time() < failed + STORAGE_RETRY + 0.2:
        await app.call("GET", "/health")
    provider.answering.set()
    assert (await app.ended(batch_id))["request_counts"]["succeeded"] == len(IDS)
    assert provider.calls == len(IDS)


async def test_a_pause_survives_a_restart(provider: HeldProvider, database: Database, tmp_path: Path) -> None:
    async with running_app(tmp_path, database_url=database.url, **settings(provider)) as app:
        batch_id = await pause_with_calls_in_flight(app, provider)
    async with running_app(tmp_path, database_url=database.url, **settings(provider)) as app:
        await until_applied(app)
        assert (await progress(app, batch_id))["paused"]["code"] == "requested"
        assert provider.calls == CONCURRENCY
        await control(app, "resume", batch_id)
        assert (await app.ended(batch_id))["request_counts"]["succeeded"] == len(IDS)
    assert provider.calls == len(IDS)


async def test_a_paused_batch_expires_at_its_time(app: RunningApp, provider: HeldProvider) -> None:
    batch_id = await pause_with_calls_in_flight(app, provider)
    app.clock.move(24 * HOUR)
    counts = (await app.ended(batch_id))["request_counts"]
    assert (counts["succeeded"], counts["expired"]) == (CONCURRENCY, len(IDS) - CONCURRENCY)
    assert (await progress(app, batch_id))["paused"] is None


async def test_a_paused_batch_is_canceled_and_deleted(app: RunningApp, provider: HeldProvider) -> None:
    batch_id = await pause_with_calls_in_flight(app, provider)
    await app.call("POST", f"{BATCHES}/{batch_id}/cancel")
    counts = (await app.ended(batch_id))["request_counts"]
    assert (counts["succeeded"], counts["canceled"]) == (CONCURRENCY, len(IDS) - CONCURRENCY)
    status, answer = await app.call("POST", f"/api/batches/{batch_id}/pause")
    assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
    assert answer["error"]["message"] == f"Batch {batch_id!r} has ended; it cannot be paused."
    assert (await control(app, "resume", batch_id))["status"] == "ended"
    assert (await app.call("DELETE", f"{BATCHES}/{batch_id}"))[0] == 200
    for action in ("pause", "resume"):
        assert (await app.call("POST", f"/api/batches/{batch_id}/{action}"))[0] == 404
    assert (await app.call("GET", f"/api/batches/{batch_id}/timeline"))[0] == 404
