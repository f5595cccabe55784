"""A batch is paused once its first results for one model are the same permanent error."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web

from batchgate.account_settings import AccountSettings
from tests.support import openai_batches
from tests.support.databases import DATABASES, Database, new_database
from tests.support.held_provider import ANSWER
from tests.support.http_server import http_server
from tests.support.postgres_server import fresh_database
from tests.support.running_app import BATCHES, RunningApp, create_body, running_app

TIMEOUT: Final = 120.0  # seconds; only a state that never comes should exceed it
CONCURRENCY: Final = 4
LIMIT: Final = 20
"""The default of the setting."""
IDS: Final = [f"r{number}" for number in range(300)]
HEADER: Final = "batchgate-fail-fast"
MESSAGE: Final = "model: there is no model of this name (request req_011CSHoEeqs5C35K2UUrZ{:03})"


@dataclass
class Provider:
    """A provider that has some models, and refuses calls of any other; each error has a request id of its own."""

    url: str = ""
    models: set[str] = field(default_factory=set)
    missing_after: int = 0
    """The number of calls that are answered whatever their model is."""
    calls: Counter[str] = field(default_factory=Counter)
    held_after: int | None = None
    """The number of refused calls after which others wait for `released`: a slow machine stores errors late."""
    released: asyncio.Event = field(default_factory=asyncio.Event)
    _refused: int = 0

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one call."""
        model = (await request.json())["model"]
        self.calls[model] += 1
        if model in self.models or self.calls.total() <= self.missing_after:
            return web.json_response(ANSWER)
        self._refused += 1
        if self.held_after is not None and self._refused > self.held_after:
            await self.released.wait()
        error = {"type": "not_found_error", "message": MESSAGE.format(self.calls.total())}
        return web.json_response({"type": "error", "error": error}, status=404)

    def settings(self, **more: Any) -> dict[str, Any]:
        """Return the settings of a gateway with this provider."""
        key = "sk-upstream-0123456789"
        a = AccountSettings(provider="anthropic", base_url=self.url, api_key=key, concurrency=CONCURRENCY)
        openai = AccountSettings(provider="openai", base_url=f"{self.url}/v1", api_key=key, concurrency=CONCURRENCY)
        return {"accounts": {"a": a, "o": openai}, "default_provider": "a"} | more


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    provider = Provider()
    async with http_server(provider.answer) as url, asyncio.timeout(TIMEOUT):
        provider.url = url
        yield provider


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with new_database(request.param, tmp_path) as database:
        yield database


async def progress(app: RunningApp, batch_id: str) -> dict[str, Any]:
    _, progress = await app.call("GET", f"/api/batches/{batch_id}/progress")
    assert isinstance(progress, dict)
    return progress


async def until_paused(app: RunningApp, batch_id: str, provider: Provider) -> dict[str, Any]:
    """Wait until a batch is paused and its calls in flight have ended, also those that the provider holds."""
    while (found := await progress(app, batch_id))["paused"] is None:
        assert found["status"] == "in_progress", found
    provider.released.set()
    while (await app.call("GET", "/health"))[1]["requests_in_flight"]:
        pass
    return found


async def timeline(app: RunningApp, batch_id: str) -> list[tuple[str, str | None, str | None]]:
    _, found = await app.call("GET", f"/api/batches/{batch_id}/timeline")
    return [(entry["action"], entry["by"], entry["detail"]) for entry in found["data"]]


async def test_a_batch_for_a_model_that_does_not_exist_is_paused_and_goes_on_when_it_is_resumed(
    provider: Provider, database: Database, tmp_path: Path
) -> None:
    provider.held_after = 3 * LIMIT
    async with running_app(tmp_path, database_url=database.url, **provider.settings()) as app:
        batch_id = (await app.create(*IDS))["id"]
        paused = (await until_paused(app, batch_id, provider))["paused"]
        assert (paused["code"], paused["by"]) == ("identical_errors", None)
        assert paused["reason"].startswith("the first ")
        assert " results for simulated are the same error: model: there is no model of this name" in paused["reason"]
        assert await timeline(app, batch_id) == [("paused", None, paused["reason"])]
    sent = provider.calls.total()
    assert LIMIT <= sent < 100, sent
    async with running_app(tmp_path, database_url=database.url, **provider.settings()) as app:
        assert (await progress(app, batch_id))["paused"] == paused
        assert (await app.call("POST", f"/api/batches/{batch_id}/resume"))[0] == 200
        assert (await app.ended(batch_id))["request_counts"]["errored"] == len(IDS)
        assert [action for action, _, _ in await timeline(app, batch_id)] == ["paused", "resumed"]
    assert provider.calls.total() == len(IDS)


async def test_a_model_that_is_missing_pauses_a_batch_whose_other_model_answers(
    provider: Provider, tmp_path: Path
) -> None:
    provider.models.add("works")
    provider.held_after = 3 * LIMIT
    async with running_app(tmp_path, **provider.settings()) as app:
        body = create_body(*IDS, model="works")
        body["requests"] += create_body(*(f"m{name}" for name in IDS), model="missing")["requests"]
        batch_id = (await app.call("POST", BATCHES, json=body))[1]["id"]
        assert "for missing" in (await until_paused(app, batch_id, provider))["paused"]["reason"]
        assert provider.calls["missing"] < len(IDS) / 2


async def test_a_batch_is_not_paused_by_errors_that_come_after_an_answer(provider: Provider, tmp_path: Path) -> None:
    provider.missing_after = CONCURRENCY
    async with running_app(tmp_path, **provider.settings()) as app:
        batch_id = (await app.create(*IDS))["id"]
        counts = (await app.ended(batch_id))["request_counts"]
        assert (counts["succeeded"], counts["errored"]) == (CONCURRENCY, len(IDS) - CONCURRENCY)
        assert await timeline(app, batch_id) == []


async def off_on_every_surface(app: RunningApp) -> list[str]:
    """Create a batch on each surface that is never paused by its errors."""
    by_messages = (await app.create(*IDS, headers={HEADER: "0"}))["id"]
    lines = [openai_batches.chat_line(name) for name in IDS]
    file_id = await openai_batches.upload_lines(app, openai_batches.jsonl(*lines))
    body = openai_batches.create_body(file_id, provider="o")
    status, by_openai = await app.call("POST", openai_batches.BATCHES, json=body, headers={HEADER: "0"})
    assert status == 200, by_openai
    rows = [{"custom_id": name, "params": {"model": "m", "max_tokens": 1, "messages": []}} for name in IDS]
    status, unified = await app.call("POST", "/v1/batches", json={"requests": rows, "fail_fast": 0})
    assert status == 200, unified
    return [by_messages, by_openai["id"], unified["id"]]


async def test_a_caller_turns_it_off_for_a_batch_on_every_surface(provider: Provider, tmp_path: Path) -> None:
    async with running_app(tmp_path, **provider.settings()) as app:
        for batch_id in await off_on_every_surface(app):
            while (found := await progress(app, batch_id))["status"] not in {"ended", "failed"}:
                assert found["paused"] is None
            assert found["errored"] == len(IDS)


async def test_the_setting_turns_it_off_and_a_caller_turns_it_on(provider: Provider, tmp_path: Path) -> None:
    async with running_app(tmp_path, **provider.settings(fail_fast=0)) as app:
        batch_id = (await app.create(*IDS))["id"]
        assert (await app.ended(batch_id))["request_counts"]["errored"] == len(IDS)
        provider.held_after = provider.calls.total() + LIMIT
        batch_id = (await app.create(*IDS, headers={HEADER: "2"}))["id"]
        assert (await until_paused(app, batch_id, provider))["paused"]["code"] == "identical_errors"


@pytest.mark.parametrize("value", ["-1", "10001", "many", "1.5"])
async def test_a_number_that_is_none_is_refused(provider: Provider, tmp_path: Path, value: str) -> None:
    async with running_app(tmp_path, **provider.settings()) as app:
        status, answer = await app.call("POST", BATCHES, json=create_body("a"), headers={HEADER: value})
        assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
        assert HEADER in answer["error"]["message"]


async def test_two_workers_together_stop_at_the_first_errors(provider: Provider, tmp_path: Path) -> None:
    with fresh_database() as url:
        async with AsyncExitStack() as stack:
            shared = provider.settings(database_url=url, worker_heartbeat_timeout=3.0)
            gateway = await stack.enter_async_context(running_app(tmp_path, role="gateway", **shared))
            for _ in range(2):
                await stack.enter_async_context(running_app(tmp_path, role="worker", clock=gateway.clock, **shared))
            names = [f"r{number}" for number in range(3000)]
            provider.held_after = len(names) // 3
            batch_id = (await gateway.create(*names))["id"]
            await until_paused(gateway, batch_id, provider)
            entries = await timeline(gateway, batch_id)
            assert [action for action, _, _ in entries] == ["paused"]
            assert provider.calls.total() < len(names) / 2
