"""The deadline of a running batch is moved within bounds, and every part keeps to the new one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.databases import DATABASES, DatabaseKind, new_database
from tests.support.running_app import BATCHES, RunningApp, running_app, simulator

TIMEOUT = 60.0  # seconds; only a state that never comes should exceed it
HOUR = 3600.0


@pytest.fixture(params=DATABASES)
async def app(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RunningApp]:
    """Run a gateway whose provider refuses every call, so that requests wait."""
    kind: DatabaseKind = request.param
    accounts = {"busy": simulator(rate_limit_rate=1.0, retry_after=60.0)}
    with new_database(kind, tmp_path) as database:
        async with running_app(tmp_path, database_url=database.url, accounts=accounts) as app, asyncio.timeout(TIMEOUT):
            yield app


def later(time: str, seconds: float) -> str:
    return (datetime.fromisoformat(time) + timedelta(seconds=seconds)).isoformat()


async def move(app: RunningApp, batch_id: str, expires_at: object) -> tuple[int, Any]:
    return await app.call("PUT", f"/api/batches/{batch_id}/deadline", json={"expires_at": expires_at})


async def until_refused(app: RunningApp, batch_id: str) -> None:
    while (await app.call("GET", f"/api/batches/{batch_id}/progress"))[1]["last_refusal"] is None:
        pass


async def test_a_batch_whose_deadline_is_extended_expires_at_the_new_time(app: RunningApp) -> None:
    batch = await app.create("a")
    status, moved = await move(app, batch["id"], later(batch["expires_at"], HOUR))
    assert status == 200, moved
    assert moved["expires_at"] == later(batch["expires_at"], HOUR).replace("+00:00", ".000000Z")
    app.clock.move(24 * HOUR)
    for _ in range(50):
        _, found = await app.call("GET", f"{BATCHES}/{batch['id']}")
        assert found["processing_status"] == "in_progress"
    assert found["expires_at"] == moved["expires_at"]
    app.clock.move(HOUR)
    assert (await app.ended(batch["id"]))["request_counts"]["expired"] == 1


async def test_a_batch_whose_deadline_is_shortened_expires_early_and_says_why_its_requests_waited(
    app: RunningApp,
) -> None:
    # The worker had claimed the shard with the old deadline, and took the new one for a cancel.
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions"}
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    create = {"endpoint": "/v1/chat/completions", "completion_window": "24h", "requests": [line | {"body": body}]}
    status, batch = await app.call("POST", "/openai/v1/batches", json=create)
    assert status == 200, batch
    await until_refused(app, batch["id"])
    now = datetime.fromtimestamp(batch["created_at"]).astimezone().isoformat()
    assert (await move(app, batch["id"], later(now, HOUR)))[0] == 200
    app.clock.move(2 * HOUR)
    while (batch := (await app.call("GET", f"/openai/v1/batches/{batch['id']}"))[1])["status"] != "expired":
        pass
    async with app.client.get(f"{app.url}/openai/v1/files/{batch['error_file_id']}/content") as response:
        assert "The last call ended with rate_limit_error" in await response.text()


async def test_an_equal_deadline_changes_nothing(app: RunningApp) -> None:
    batch = await app.create("a")
    wanted = later(batch["expires_at"], HOUR)
    answers = [await move(app, batch["id"], wanted) for _ in range(2)]
    assert answers[0] == answers[1]
    _, timeline = await app.call("GET", f"/api/batches/{batch['id']}/timeline")
    assert [(entry["action"], entry["detail"]) for entry in timeline["data"]] == [
        ("deadline_moved", answers[0][1]["expires_at"])
    ]


@pytest.mark.parametrize(("reference", "seconds"), [("created_at", 59), ("created_at", 7 * 24 * HOUR + 1)])
async def test_a_deadline_out_of_bounds_is_refused(app: RunningApp, reference: str, seconds: float) -> None:
    batch = await app.create("a")
    status, answer = await move(app, batch["id"], later(batch[reference], seconds))
    assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
    assert answer["error"]["message"].startswith("expires_at: it must be at least a minute from now and at most ")
    assert (await app.call("GET", f"{BATCHES}/{batch['id']}"))[1]["expires_at"] == batch["expires_at"]


@pytest.mark.parametrize("text", ["tomorrow", "2026-11-20T10:00:00", "9999-12-31T23:59:59+99:99", 7])
async def test_a_deadline_that_is_no_time_is_refused(app: RunningApp, text: object) -> None:
    batch = await app.create("a")
    status, answer = await move(app, batch["id"], text)
    assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
    assert answer["error"]["message"].startswith("expires_at: ")


async def test_the_deadline_of_a_batch_that_has_ended_is_not_moved(app: RunningApp) -> None:
    batch = await app.create("a")
    await app.call("POST", f"{BATCHES}/{batch['id']}/cancel")
    await app.ended(batch["id"])
    status, answer = await move(app, batch["id"], later(batch["expires_at"], HOUR))
    assert (status, answer["error"]["message"]) == (
        400,
        f"Batch {batch['id']!r} has ended; its deadline cannot be moved.",
    )
