"""Batches are paused when the monthly budget of their workspace, API key or account is reached, in every process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec import structs

from batchgate.account_settings import AccountSettings, PriceSettings
from batchgate.settings import ApiKeySettings
from tests.support.command_in_process import command
from tests.support.databases import DATABASES, Database, new_database
from tests.support.held_provider import HeldProvider, held_provider
from tests.support.postgres_server import fresh_database
from tests.support.running_app import BATCHES, RunningApp, create_body, running_app

TIMEOUT: Final = 120.0  # seconds; only a state that never comes should exceed it
CONCURRENCY: Final = 4
IDS: Final = [f"r{number}" for number in range(60)]
CALL_COST: Final = 0.01
BUDGET: Final = 0.1
MONTH: Final = 31 * 24 * 3600
ROOT: Final = {"x-api-key": "root-0123456789abcdef"}


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with new_database(request.param, tmp_path) as database:
        yield database


@pytest.fixture
async def provider() -> AsyncIterator[HeldProvider]:
    async with held_provider() as provider, asyncio.timeout(TIMEOUT):
        yield provider


def account(provider: HeldProvider, concurrency: int = CONCURRENCY, **more: Any) -> AccountSettings:
    price = PriceSettings(input=CALL_COST * 1_000_000, output=0.0)
    return structs.replace(provider.account(concurrency), prices={"*": price}, **more)


def settings(provider: HeldProvider, **budgets: float) -> dict[str, Any]:
    """Return the settings of the accounts a and b, of which some have a budget, and of an administrator."""
    return {
        "accounts": {name: account(provider, monthly_budget_usd=budgets.get(name)) for name in ("a", "b")},
        "default_provider": "a",
        "api_keys": {"root": ApiKeySettings(key=ROOT["x-api-key"], scopes=("read", "submit", "admin"))},
    }


async def call(app: RunningApp, method: str, path: str, **options: Any) -> Any:
    """Make a call that succeeds, as the administrator unless other headers are given, and return its answer."""
    status, answer = await app.call(method, path, **({"headers": ROOT} | options))
    assert status == 200, answer
    return answer


async def new_key(app: RunningApp, name: str, **options: Any) -> tuple[str, dict[str, str]]:
    """Create an API key, and return its id and the headers of its calls."""
    key = await call(app, "POST", "/api/workspaces/default/keys", json={"name": name, **options})
    return key["id"], {"x-api-key": key["key"]}


async def create(app: RunningApp, headers: dict[str, str], *ids: str, model: str = "m") -> str:
    return str((await call(app, "POST", BATCHES, json=create_body(*ids, model=model), headers=headers))["id"])


async def ended(app: RunningApp, batch_id: str) -> dict[str, Any]:
    """Wait until a batch has ended, and return it."""
    while (batch := await call(app, "GET", f"{BATCHES}/{batch_id}"))["processing_status"] != "ended":
        pass
    return dict(batch)


async def until_paused(app: RunningApp, *batches: str) -> list[str]:
    """Wait until batches are paused for a monthly budget and have no calls in flight; return the reasons."""
    reasons = []
    for batch_id in batches:
        while (found := await call(app, "GET", f"/api/batches/{batch_id}/progress"))["paused"] is None:
            assert found["status"] == "in_progress", found
        assert (found["paused"]["code"], found["paused"]["by"]) == ("monthly_budget_reached", None)
        reasons.append(found["paused"]["reason"])
    before, equal = -1.0, 0
    while equal < 200:
        cost = await total_cost(app)
        before, equal = cost, equal + 1 if cost == before else 0
    return reasons


async def answer_singly_until_paused(app: RunningApp, provider: HeldProvider, *batches: str) -> None:
    """Answer a call when the answer before is stored, until batches that ran before they had a budget are paused."""
    answered = 0
    while True:
        found = [await call(app, "GET", f"/api/batches/{batch_id}/progress") for batch_id in batches]
        if all(progress["paused"] for progress in found):
            return
        if sum(progress["succeeded"] for progress in found) == answered:
            provider.answer_one()
            answered += 1


async def total_cost(app: RunningApp) -> float:
    return float((await call(app, "GET", "/api/usage"))["total"]["cost_usd"])


async def budgets(app: RunningApp, headers: dict[str, str] = ROOT) -> list[object]:
    found = (await call(app, "GET", "/api/usage", headers=headers))["monthly_budgets"]
    return [(each["kind"], each["name"], each["budget_usd"], each["spent_usd"]) for each in found]


async def test_batches_of_a_key_stop_at_its_budget_and_go_on_when_it_is_raised_and_they_are_resumed(
    provider: HeldProvider, database: Database, tmp_path: Path
) -> None:
    provider.answering.set()
    async with running_app(tmp_path, database_url=database.url, **settings(provider)) as app:
        key_id, ci = await new_key(app, "ci", monthly_budget_usd=BUDGET)
        _, solo = await new_key(app, "solo")
        first, second = await create(app, ci, *IDS), await create(app, ci, *IDS)
        reasons = await until_paused(app, first, second)
        assert all(
            reason.startswith("the monthly budget of API key 'ci', $0.10, is reached: $0.1") for reason in reasons
        )
        spent = await total_cost(app)
        assert spent == pytest.approx(CALL_COST * provider.calls)
        assert BUDGET <= round(spent, 9) < BUDGET + CONCURRENCY * CALL_COST
        assert await budgets(app, solo) == [("key", "ci", BUDGET, pytest.approx(spent))]
        key = await call(app, "GET", f"/api/keys/{key_id}")
        assert (key["monthly_budget_usd"], key["monthly_spend_usd"]) == (BUDGET, pytest.approx(spent))
        status, refused = await app.call("POST", BATCHES, json=create_body("x"), headers=ci)
        assert (status, refused["error"]["type"]) == (429, "rate_limit_error")
        assert "No batch can be created: the monthly budget of API key 'ci'" in refused["error"]["message"]
        status, refused = await app.call("POST", f"/api/batches/{first}/resume", headers=ROOT)
        assert (status, refused["error"]["type"]) == (400, "invalid_request_error")
        assert "cannot be resumed: the monthly budget of API key 'ci', $0.10" in refused["error"]["message"]
        await ended(app, await create(app, solo, "y"))
        calls = provider.calls
    async with running_app(tmp_path, database_url=database.url, **settings(provider)) as app:
        await call(app, "PATCH", f"/api/keys/{key_id}", json={"monthly_budget_usd": 100})
        rotated = await call(app, "POST", f"/api/keys/{key_id}/rotate", json={})
        assert rotated["monthly_budget_usd"] == 100
        listed = (await call(app, "GET", "/api/workspaces/default/keys"))["data"]
        assert [each["monthly_budget_usd"] for each in listed if each["name"] == "ci"] == [100, 100]
        assert provider.calls == calls
        for batch_id in (first, second):
            await call(app, "POST", f"/api/batches/{batch_id}/resume")
            assert (await ended(app, batch_id))["request_counts"]["succeeded"] == len(IDS)
        assert provider.calls == 2 * len(IDS) + 1
        assert await budgets(app) == [("key", "ci", 100, pytest.approx(2 * len(IDS) * CALL_COST))]
        await call(app, "PATCH", f"/api/keys/{key_id}", json={"monthly_budget_usd": None})
        assert await budgets(app) == []


async def test_a_start_gives_a_key_of_the_settings_the_budget_that_it_has_there_or_none(
    provider: HeldProvider, database: Database, tmp_path: Path
) -> None:
    ci = {"x-api-key": "ci-0123456789abcdef"}

    def with_budget(budget: float | None) -> dict[str, Any]:
        changed = settings(provider) | {"database_url": database.url}
        changed["api_keys"]["ci"] = ApiKeySettings(key=ci["x-api-key"], monthly_budget_usd=budget)
        return changed

    provider.answering.set()
    async with running_app(tmp_path, **with_budget(BUDGET)) as app:
        batch_id = await create(app, ci, *IDS)
        [reason] = await until_paused(app, batch_id)
        assert reason.startswith("the monthly budget of API key 'ci', $0.10, is reached")
        assert (await app.call("POST", BATCHES, json=create_body("x"), headers=ci))[0] == 429
    async with running_app(tmp_path, **with_budget(100)) as app:
        await call(app, "POST", f"/api/batches/{batch_id}/resume")
        await ended(app, batch_id)
        assert await budgets(app, ci) == [("key", "ci", 100, pytest.approx(len(IDS) * CALL_COST))]
    async with running_app(tmp_path, **with_budget(None)) as app:
        assert await budgets(app) == []
        await new_key(app, "ci", monthly_budget_usd=7)
    async with running_app(tmp_path, **with_budget(None)) as app:  # the budget of the stored key of the same name
        assert await budgets(app) == [("key", "ci", 7, pytest.approx(len(IDS) * CALL_COST))]


async def test_an_account_that_has_spent_its_budget_gets_no_call_before_the_next_month_or_a_higher_one(
    provider: HeldProvider, database: Database, tmp_path: Path
) -> None:
    provider.answering.set()
    async with running_app(tmp_path, database_url=database.url, **settings(provider, a=BUDGET)) as app:
        paused = await create(app, ROOT, *IDS)
        [reason] = await until_paused(app, paused)
        assert reason.endswith("raise it in the settings, or resume the batch next month")
        calls = provider.calls
        assert calls < BUDGET / CALL_COST + CONCURRENCY
        fresh, others = await create(app, ROOT, *IDS), await create(app, ROOT, "x", "y", model="b/m")
        await until_paused(app, fresh)
        assert (await ended(app, others))["request_counts"]["succeeded"] == 2
        resumed = await command("resume", paused, url=app.url, key=ROOT["x-api-key"])
        assert (resumed.exit_code, resumed.stdout) == (1, "")
        assert f"{paused} is paused again: the monthly budget of account 'a', $0.10" in resumed.stderr
        await until_paused(app, paused)
        assert provider.calls == calls + 2
        while (health := await call(app, "GET", "/health"))["status"] == "ok":
            pass
        [problem] = [each for each in health["problems"] if each["component"] == "account/a"]
        assert problem["code"] == "monthly_budget_reached"
        assert problem["message"].startswith("the monthly budget of account 'a', $0.10, is reached")
        app.clock.move(MONTH)
        while (await call(app, "GET", "/health"))["status"] != "ok":
            pass
    async with running_app(tmp_path, database_url=database.url, **settings(provider, a=100)) as app:
        batch_id = await create(app, ROOT, *IDS)
        assert (await ended(app, batch_id))["request_counts"]["succeeded"] == len(IDS)
        assert len(await budgets(app)) == 1
    without = settings(provider)
    del without["accounts"]["a"]
    async with running_app(tmp_path, database_url=database.url, **without) as app:
        assert await budgets(app) == []


async def test_the_quota_of_a_workspace_also_pauses_its_running_batches(provider: HeldProvider, tmp_path: Path) -> None:
    async with running_app(tmp_path, **settings(provider)) as app:
        running = [await create(app, ROOT, *IDS) for _ in range(2)]
        await provider.until_called(CONCURRENCY)
        quotas = {"quotas": {"monthly_spend_usd": CALL_COST}}
        await call(app, "PATCH", "/api/workspaces/default", json=quotas)
        await answer_singly_until_paused(app, provider, *running)
        reasons = await until_paused(app, *running)
        assert all("the monthly budget of workspace 'default', $0.01, is reached" in reason for reason in reasons)
        status, _ = await app.call("POST", f"/api/batches/{running[0]}/resume", headers=ROOT)
        assert status == 400
        status, _ = await app.call("POST", BATCHES, json=create_body("x"), headers=ROOT)
        assert status == 429
        assert provider.calls < 2 * len(IDS)


@pytest.mark.parametrize("value", [0, -1, 1e12, "much"])
async def test_a_budget_that_is_no_amount_is_refused(provider: HeldProvider, tmp_path: Path, value: object) -> None:
    async with running_app(tmp_path, **settings(provider)) as app:
        body = {"name": "ci", "monthly_budget_usd": value}
        status, answer = await app.call("POST", "/api/workspaces/default/keys", json=body, headers=ROOT)
        assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
        assert "monthly_budget_usd" in answer["error"]["message"]


async def test_workers_of_several_processes_stop_together(provider: HeldProvider, tmp_path: Path) -> None:
    """Many batches on two workers: what is spent beyond the budget is bounded by the calls in flight."""
    workers, concurrency = 2, 8
    provider.answering.set()
    with fresh_database() as url:
        shared = settings(provider) | {"database_url": url, "worker_heartbeat_timeout": 3.0}
        shared["accounts"] = {"a": account(provider, concurrency, monthly_budget_usd=BUDGET)}
        async with AsyncExitStack() as stack:
            gateway = await stack.enter_async_context(running_app(tmp_path, role="gateway", **shared))
            for _ in range(workers):
                await stack.enter_async_context(running_app(tmp_path, role="worker", clock=gateway.clock, **shared))
            batches = [await create(gateway, ROOT, *IDS) for _ in range(4)]
            await until_paused(gateway, *batches)
            overshoot = round((await total_cost(gateway) - BUDGET) / CALL_COST)
            assert 0 <= overshoot <= concurrency  # which the workers share
            assert provider.calls == BUDGET / CALL_COST + overshoot
