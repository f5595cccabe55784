"""A batch with a higher priority gets more of the calls of its workspace, at once and after a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from batchgate.account_settings import AccountSettings
from batchgate.settings import ApiKeySettings
from tests.support.databases import DATABASES, Database, new_database
from tests.support.held_provider import ANSWER
from tests.support.http_server import http_server
from tests.support.openai_batches import CHAT, chat_line
from tests.support.running_app import BATCHES, RunningApp, create_body, running_app, simulator

TIMEOUT = 120.0  # seconds; only a state that never comes should exceed it
CONCURRENCY = 8
REQUESTS = 3_000
KEYS = {name: ApiKeySettings(key=f"sk-{name}", workspace=name) for name in ("mine", "other")}


class CountingProvider:
    """A provider that answers after a moment, and keeps whose calls it got, in their order."""

    def __init__(self) -> None:
        self.users: list[str] = []
        self.latency = 0.005
        self._called = asyncio.Event()

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one call."""
        self.users.append((await request.json())["metadata"]["user_id"])
        self._called.set()
        await asyncio.sleep(self.latency)
        return web.json_response(ANSWER)

    async def next_calls(self, number: int) -> list[str]:
        """Wait for so many further calls, and return whose they are."""
        begun = len(self.users)
        while len(self.users) < begun + number:
            self._called.clear()
            await self._called.wait()
        return self.users[begun : begun + number]


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with new_database(request.param, tmp_path) as database:
        yield database


@pytest.fixture
async def provider() -> AsyncIterator[CountingProvider]:
    async with asyncio.timeout(TIMEOUT):
        yield CountingProvider()


@pytest.fixture
async def url(provider: CountingProvider) -> AsyncIterator[str]:
    async with http_server(provider.answer) as url:
        yield url


def settings(url: str) -> dict[str, Any]:
    account = AccountSettings(provider="anthropic", base_url=url, api_key="k", concurrency=CONCURRENCY)
    return {"accounts": {"a": account}, "api_keys": KEYS, "shutdown_timeout": 0.0}


def key(workspace: str = "mine") -> dict[str, str]:
    return {"x-api-key": f"sk-{workspace}"}


async def create(app: RunningApp, user: str, workspace: str = "mine", *, requests: int = REQUESTS) -> str:
    """Create a batch whose calls name a user."""
    body = create_body(*(f"r{number}" for number in range(requests)))
    for request in body["requests"]:
        request["params"]["metadata"] = {"user_id": user}
    status, batch = await app.call("POST", BATCHES, json=body, headers=key(workspace))
    assert status == 200, batch
    return str(batch["id"])


async def set_priority(
    app: RunningApp, batch_id: str, priority: str, workspace: str = "mine", status: int = 200
) -> Any:
    path = f"/api/batches/{batch_id}/priority"
    found, answer = await app.call("PUT", path, json={"priority": priority}, headers=key(workspace))
    assert found == status, answer
    return answer


async def until_share(provider: CountingProvider, user: str, share: float) -> None:
    """Wait until a batch has a share of the calls that is right for longer than a few calls."""
    while (await provider.next_calls(100)).count(user) < share * 100:
        pass


async def test_a_raised_batch_gets_most_calls_soon_and_after_a_restart_and_a_lower_one_some(
    url: str, provider: CountingProvider, database: Database, tmp_path: Path
) -> None:
    async with running_app(tmp_path, database_url=database.url, **settings(url)) as app:
        first, second = await create(app, "first"), await create(app, "second")
        await until_share(provider, "second", 0.3)
        await set_priority(app, second, "high")
        raised_at = len(provider.users)
        await until_share(provider, "second", 0.8)
        assert len(provider.users) - raised_at < 2_000, "as many as two seconds have on an idle machine"
        calls = await provider.next_calls(300)
        assert 0.8 <= calls.count("second") / 300 <= 0.95
        for batch_id, priority in ((first, "high"), (second, "normal")):
            await set_priority(app, batch_id, priority)
        await until_share(provider, "first", 0.8)
    async with running_app(tmp_path, database_url=database.url, **settings(url)) as app:
        await until_share(provider, "first", 0.8)
        assert (await progress(app, first))["priority"] == "high"


async def test_a_raised_batch_gets_in_although_slow_calls_of_another_one_fill_the_memory(
    url: str, provider: CountingProvider, database: Database, tmp_path: Path
) -> None:
    # Without capacity of its own it would wait until a whole shard of the other one has been sent.
    provider.latency = 0.1
    async with running_app(tmp_path, database_url=database.url, **settings(url)) as app:
        await create(app, "first")
        await provider.next_calls(CONCURRENCY)
        second = await create(app, "second")
        await set_priority(app, second, "high")
        await until_share(provider, "second", 0.8)
        assert len(provider.users) < 500


async def progress(app: RunningApp, batch_id: str) -> dict[str, Any]:
    _, progress = await app.call("GET", f"/api/batches/{batch_id}/progress", headers=key())
    assert isinstance(progress, dict)
    return progress


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[RunningApp]:
    accounts = {"busy": simulator(rate_limit_rate=1.0, retry_after=60.0)}
    async with running_app(tmp_path, accounts=accounts, api_keys=KEYS, shutdown_timeout=0.0) as app:
        yield app


async def test_a_priority_is_set_once_and_its_timeline_says_who_did_it(app: RunningApp) -> None:
    batch = await app.create("a", headers=key())
    for _ in range(2):
        controls = await set_priority(app, batch["id"], "low")
        assert (controls["id"], controls["priority"]) == (batch["id"], "low")
    _, timeline = await app.call("GET", f"/api/batches/{batch['id']}/timeline", headers=key())
    [entry] = timeline["data"]
    assert (entry["action"], entry["by"], entry["detail"]) == ("priority_changed", "mine", "low")


async def test_a_batch_that_has_ended_keeps_its_priority(app: RunningApp) -> None:
    batch = await app.create("a", headers=key())
    await app.call("POST", f"{BATCHES}/{batch['id']}/cancel", headers=key())
    while (await progress(app, batch["id"]))["status"] != "ended":
        pass
    answer = await set_priority(app, batch["id"], "high", status=400)
    assert answer["error"]["message"] == f"Batch {batch['id']!r} has ended; its priority cannot be changed."
    assert (await set_priority(app, batch["id"], "normal"))["priority"] == "normal"


async def test_a_word_that_is_no_priority_and_a_batch_of_another_workspace_are_refused(app: RunningApp) -> None:
    batch = await app.create("a", headers=key())
    answer = await set_priority(app, batch["id"], "urgent", status=400)
    assert "urgent" in answer["error"]["message"]
    await set_priority(app, batch["id"], "high", "other", status=404)


async def test_a_batch_that_is_raised_beside_all_workspaces_gets_most_calls_also_after_a_restart(
    url: str, provider: CountingProvider, database: Database, tmp_path: Path
) -> None:
    mine = ApiKeySettings(key="sk-mine", workspace="mine", scopes=("admin", "submit", "read"))
    given = settings(url) | {"api_keys": KEYS | {"mine": mine}}
    async with running_app(tmp_path, database_url=database.url, **given) as app:
        await create(app, "first", "other")
        await create(app, "second", "other")
        raised = await create(app, "raised")
        await until_share(provider, "raised", 0.2)
        body = {"priority": "high", "scope": "gateway"}
        status, controls = await app.call("PUT", f"/api/batches/{raised}/priority", json=body, headers=key())
        assert (status, controls["priority_scope"]) == (200, "gateway")
        await until_share(provider, "raised", 0.8)
        calls = await provider.next_calls(300)
        assert 0.8 <= calls.count("raised") / 300 <= 0.97
        assert {"first", "second"} & set(calls), "the others go on in their own order"
    async with running_app(tmp_path, database_url=database.url, **given) as app:
        await until_share(provider, "raised", 0.8)
        assert (await set_priority(app, raised, "normal"))["priority_scope"] == "workspace"
        while (await provider.next_calls(100)).count("raised") / 100 > 0.5:
            pass


async def test_a_priority_beside_all_workspaces_needs_the_scope_admin(tmp_path: Path) -> None:
    caller = ApiKeySettings(key="sk-mine", workspace="mine", scopes=("submit", "read"))
    accounts = {"busy": simulator(rate_limit_rate=1.0, retry_after=60.0)}
    async with running_app(tmp_path, accounts=accounts, api_keys={"mine": caller}, shutdown_timeout=0.0) as app:
        path = f"/api/batches/{(await app.create('a', headers=key()))['id']}/priority"
        refused = await app.call("PUT", path, json={"priority": "high", "scope": "gateway"}, headers=key())
        allowed = await app.call("PUT", path, json={"priority": "high", "scope": "workspace"}, headers=key())
    assert (refused[0], refused[1]["error"]["type"]) == (403, "permission_error")
    assert "scope: a priority beside all workspaces needs" in refused[1]["error"]["message"]
    assert (allowed[0], allowed[1]["priority_scope"]) == (200, "workspace")


async def test_each_api_takes_the_priority_of_a_new_batch(app: RunningApp) -> None:
    asked = key() | {"batchgate-priority": "high"}
    body = {"endpoint": CHAT, "completion_window": "24h", "requests": [chat_line("a")]}
    _, on_openai = await app.call("POST", "/openai/v1/batches", json=body, headers=asked)
    unified = {"requests": create_body("a")["requests"], "priority": "high"}
    _, on_unified = await app.call("POST", "/v1/batches", json=unified, headers=key())
    for batch in (await app.create("a", headers=asked), on_openai, on_unified):
        assert (await progress(app, batch["id"]))["priority"] == "high", batch
    assert (await progress(app, (await app.create("a", headers=key()))["id"]))["priority"] == "normal"


async def test_an_unknown_priority_of_a_new_batch_is_refused(app: RunningApp) -> None:
    headers = key() | {"batchgate-priority": "urgent"}
    status, answer = await app.call("POST", BATCHES, json=create_body("a"), headers=headers)
    assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
    assert "batchgate-priority" in answer["error"]["message"]
