"""Rejected accounts, unreachable endpoints, and providers that refuse for load, over real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer, unused_port

from batchgate.account_settings import AccountSettings
from batchgate.engine.model.errors import ConfigurationError
from batchgate.providers.simulator.server import build_simulator_app
from batchgate.providers.simulator.simulator import SimulatorSettings
from tests.support import openai_batches
from tests.support.running_app import BATCHES, RunningApp, running_app
from tests.support.scrape import scrape

DAY = 24 * 3600
WRONG, RIGHT = "sk-ant-wrong-0123456789", "sk-ant-right-0123456789"


@asynccontextmanager
async def provider(port: int | None = None, **behaviour: Any) -> AsyncIterator[TestServer]:
    settings = SimulatorSettings(**({"latency": 0.0} | behaviour))
    server = TestServer(build_simulator_app(settings), port=port)
    async with server:
        yield server


def account(port: int | None, **settings: Any) -> dict[str, AccountSettings]:
    return {"mine": AccountSettings(provider="anthropic", base_url=f"http://127.0.0.1:{port}", **settings)}


async def paused(app: RunningApp, batch_id: str) -> Any:
    """Wait until the progress of a batch has a pause, and return it."""
    while True:
        status, progress = await app.call("GET", f"/api/batches/{batch_id}/progress")
        assert (status, progress["status"]) == (200, "in_progress")
        if progress["paused"] is not None:
            return progress["paused"]
        await asyncio.sleep(0.01)


@pytest.fixture
async def rejected(tmp_path: Path) -> AsyncIterator[tuple[RunningApp, str, Path]]:
    """Run a gateway with a key file whose key the provider rejects, and a batch that waits for the account."""
    key = tmp_path / "key"
    key.write_text(WRONG)
    async with provider(require_key=RIGHT) as server:
        accounts = account(server.port, api_key_file=str(key), concurrency=4)
        async with running_app(tmp_path / "data", accounts=accounts, shutdown_timeout=0.0) as app:
            batch = await app.create(*(f"r{number}" for number in range(50)))
            await paused(app, batch["id"])
            yield app, batch["id"], key


Rejected = tuple[RunningApp, str, Path]


async def test_a_rejected_key_is_reported_by_its_account_in_health_and_progress_and_never_shown(
    rejected: Rejected,
) -> None:
    app, batch_id, _ = rejected
    reason = "account 'mine' is paused: the provider rejects its key (401)"
    pause = await paused(app, batch_id)
    assert (pause["code"], pause["reason"], pause["by"]) == ("key_rejected", reason, None)
    _, health = await app.call("GET", "/health")
    [problem] = health["problems"]
    assert problem.pop("since") == pause["since"]
    assert health["status"] == "degraded"
    assert problem == {"code": "key_rejected", "component": "account/mine", "message": reason}
    assert WRONG not in str(health)
    assert (await scrape(app)).value("batchgate_account_pauses", account="mine", code="key_rejected") == 1


async def test_a_replaced_key_resumes_the_account_without_a_restart_or_a_failed_request(
    caplog: pytest.LogCaptureFixture, rejected: Rejected
) -> None:
    app, batch_id, key = rejected
    caplog.set_level("INFO")
    key.write_text(f"{RIGHT}\n")
    batch = await app.ended(batch_id)
    assert batch["request_counts"]["succeeded"] == 50
    _, health = await app.call("GET", "/health")
    assert (health["status"], health["problems"]) == ("ok", [])
    _, progress = await app.call("GET", f"/api/batches/{batch_id}/progress")
    assert progress["paused"] is None
    assert not (await scrape(app)).labels("batchgate_account_pauses", "account")
    records = (record.__dict__ for record in [*caplog.get_records("setup"), *caplog.get_records("call")])
    pauses = [record for record in records if record.get("action") in {"account_paused", "account_resumed"}]
    assert [(record["action"], record["account"]) for record in pauses] == [
        ("account_paused", "mine"),
        ("account_resumed", "mine"),
    ]


async def test_a_batch_that_waits_for_a_paused_account_can_be_canceled(rejected: Rejected) -> None:
    app, batch_id, _ = rejected
    await app.call("POST", f"{BATCHES}/{batch_id}/cancel")
    batch = await app.ended(batch_id)
    assert batch["request_counts"]["canceled"] == 50


async def test_a_batch_that_waits_for_a_paused_account_expires_in_time(rejected: Rejected) -> None:
    app, batch_id, _ = rejected
    app.clock.move(DAY)
    batch = await app.ended(batch_id)
    assert batch["request_counts"]["expired"] == 50


async def test_an_unreachable_endpoint_is_reported_and_recovers_by_itself(tmp_path: Path) -> None:
    port = unused_port()
    async with running_app(tmp_path, accounts=account(port)) as app:
        batch = await app.create(*(f"r{number}" for number in range(50)))
        pause = await paused(app, batch["id"])
        assert pause["code"] == "unreachable"
        assert pause["reason"] == f"account 'mine' is paused: cannot connect to 127.0.0.1:{port}: Connection refused"
        async with provider(port):
            ended = await app.ended(batch["id"])
        assert ended["request_counts"]["succeeded"] == 50


async def test_a_provider_that_accepts_four_calls_at_once_serves_a_whole_batch_without_a_failure(
    tmp_path: Path,
) -> None:
    async with (
        provider(latency=0.02, max_concurrency=4, retry_after=1.0) as server,
        running_app(tmp_path, accounts=account(server.port)) as app,
    ):
        batch = await app.ended((await app.create(*(f"r{number}" for number in range(300))))["id"])
    assert batch["request_counts"]["succeeded"] == 300


async def test_the_progress_counts_the_calls_that_were_made_again_by_reason(tmp_path: Path) -> None:
    async with (
        provider(error_rate=0.5, rate_limit_rate=0.3, retry_after=0.01, seed=3) as server,
        running_app(tmp_path, accounts=account(server.port)) as app,
    ):
        batch = await app.ended((await app.create(*(f"r{number}" for number in range(40))))["id"])
        _, progress = await app.call("GET", f"/api/batches/{batch['id']}/progress")
        _, batches = await app.call("GET", "/api/batches")
        async with ClientSession() as session, session.get(server.make_url("/stats")) as response:
            stats = await response.json()
    counts = {calls["reason"]: calls["count"] for calls in progress["retried_calls"]}
    assert counts.keys() == {"rate_limit", "overloaded", "server_error"}
    assert list(counts.values()) == sorted(counts.values(), reverse=True)
    assert sum(counts.values()) == stats["calls"] - 40
    assert batches["data"][0]["retried_calls"] == progress["retried_calls"]


async def refused(app: RunningApp, batch_id: str) -> Any:
    """Wait until the progress of a batch has a refusal, and return it."""
    while True:
        _, progress = await app.call("GET", f"/api/batches/{batch_id}/progress")
        assert progress["status"] in {"validating", "in_progress"}
        if progress["last_refusal"] is not None:
            return progress["last_refusal"]
        await asyncio.sleep(0.01)


async def test_a_batch_that_waits_shows_its_last_refusal_until_it_has_ended(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with (
        provider(rate_limit_rate=1.0, retry_after=0.05) as server,
        running_app(tmp_path, accounts=account(server.port)) as app,
    ):
        batch = await app.create("a", "b")
        refusal = await refused(app, batch["id"])
        at = datetime.fromisoformat(refusal.pop("at"))
        assert at.timestamp() * 1_000_000 == pytest.approx(app.clock.now(), abs=1)
        assert refusal == {
            "code": "rate_limit_error",
            "status": 429,
            "message": "This request would exceed the rate limit. Please try again later.",
            "account": "mine",
            "model": "simulated",
        }
        await app.call("POST", f"{BATCHES}/{batch['id']}/cancel")
        await app.ended(batch["id"])
        assert (await app.call("GET", f"/api/batches/{batch['id']}/progress"))[1]["last_refusal"] is None
    lines = [record for record in caplog.records if record.__dict__.get("action") == "requests_wait"]
    assert [(line.__dict__["account"], line.__dict__["reason"]) for line in lines] == [("mine", "rate_limit_error")]


async def test_an_expired_row_of_openai_states_its_last_refusal(tmp_path: Path) -> None:
    async with (
        provider(rate_limit_rate=1.0, retry_after=0.05) as server,
        running_app(tmp_path, accounts=account(server.port)) as app,
    ):
        batch = await openai_batches.create(app, openai_batches.chat_line("a"), openai_batches.chat_line("b"))
        await refused(app, batch["id"])
        app.clock.move(DAY)
        ended = await openai_batches.wait_for_final_status(app, batch["id"])
        assert (ended["status"], ended["request_counts"]) == ("expired", {"total": 2, "completed": 0, "failed": 2})
        lines = await openai_batches.download_lines(app, ended["error_file_id"])
        assert [line["custom_id"] for line in lines] == ["a", "b"]
        assert {line["error"]["code"] for line in lines} == {"batch_expired"}
        assert any(
            line["error"]["message"].endswith(
                "The last call ended with rate_limit_error (429): "
                "This request would exceed the rate limit. Please try again later."
            )
            for line in lines
        )
        message_lines = await app.results(batch["id"])
        assert {line["result"]["type"] for line in message_lines} == {"expired"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"api_key_file": "missing"}, "a readable file with the key in it"),
        ({"api_key_file": "empty"}, "a readable file with the key in it"),
        ({"api_key_file": "empty", "api_key": "k"}, "only one of api_key, api_key_env, api_key_file, api_key_secret"),
    ],
)
async def test_a_key_file_without_a_key_stops_the_start(tmp_path: Path, settings: dict[str, str], message: str) -> None:
    (tmp_path / "empty").touch()
    settings = settings | {"api_key_file": str(tmp_path / settings["api_key_file"])}
    with pytest.raises(ConfigurationError, match=message) as caught:
        async with running_app(tmp_path / "data", accounts=account(1, **settings)):
            pass
    assert caught.value.setting == "accounts.mine.api_key_file"
