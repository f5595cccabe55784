"""A batch is paused when its answers have cost as much as its budget: no call starts then, in any process."""

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
from tests.support import openai_batches
from tests.support.databases import DATABASES, Database, new_database
from tests.support.held_provider import HeldProvider, held_provider
from tests.support.postgres_server import fresh_database
from tests.support.running_app import BATCHES, RunningApp, create_body, running_app, simulator

TIMEOUT: Final = 120.0  # seconds; only a state that never comes should exceed it
CONCURRENCY: Final = 4
IDS: Final = [f"r{number}" for number in range(300)]
CALL_COST: Final = 0.01
"""What an answer costs: it has one token of input and one of output."""
BUDGET: Final = 0.1
HEADER: Final = "batchgate-budget-usd"


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with new_database(request.param, tmp_path) as database:
        yield database


@pytest.fixture
async def provider() -> AsyncIterator[HeldProvider]:
    async with held_provider() as provider, asyncio.timeout(TIMEOUT):
        yield provider


def account(provider: HeldProvider, **more: Any) -> AccountSettings:
    price = PriceSettings(input=CALL_COST * 1_000_000, output=0.0)
    return structs.replace(provider.account(CONCURRENCY), **({"prices": {"simulated": price}} | more))


def settings(provider: HeldProvider, **more: Any) -> dict[str, Any]:
    return {"accounts": {"a": account(provider)}} | more


async def progress(app: RunningApp, batch_id: str) -> dict[str, Any]:
    _, found = await app.call("GET", f"/api/batches/{batch_id}/progress")
    assert isinstance(found, dict)
    return found


async def settled(app: RunningApp, batch_id: str) -> dict[str, Any]:
    """Return the progress of a batch once it has not changed for some calls."""
    before: dict[str, Any] = {}
    equal = 0
    while equal < 200:
        found = await progress(app, batch_id)
        equal, before = (equal + 1, found) if found == before else (0, found)
    return before


async def until_paused(app: RunningApp, batch_id: str, code: str = "budget_reached") -> dict[str, Any]:
    """Wait until a batch is paused and has no calls in flight, and return its progress."""
    while (found := await progress(app, batch_id))["paused"] is None:
        assert found["status"] == "in_progress", found
    assert found["paused"]["code"] == code
    return await settled(app, batch_id)


async def change(app: RunningApp, batch_id: str, budget_usd: float | None, **options: Any) -> tuple[int, Any]:
    return await app.call("PUT", f"/api/batches/{batch_id}/budget", json={"budget_usd": budget_usd}, **options)


async def test_a_batch_stops_at_its_budget_and_goes_on_when_it_is_raised(
    provider: HeldProvider, database: Database, tmp_path: Path
) -> None:
    provider.answering.set()
    async with running_app(tmp_path, database_url=database.url, **settings(provider)) as app:
        batch_id = (await app.create(*IDS, headers={HEADER: str(BUDGET)}))["id"]
        found = await until_paused(app, batch_id)
        assert found["budget_usd"] == BUDGET
        assert found["paused"]["by"] is None
        assert found["paused"]["reason"].startswith("its budget of $0.10 is reached: $0.1")
        spent = found["spent"]["direct_usd"]
        assert spent == pytest.approx(CALL_COST * provider.calls)
        # Each of the calls that may be in flight is one call beyond the budget at most.
        assert BUDGET <= round(spent, 9) < BUDGET + CONCURRENCY * CALL_COST
        status, refused = await app.call("POST", f"/api/batches/{batch_id}/resume")
        assert (status, refused["error"]["type"]) == (400, "invalid_request_error")
        assert "Raise it first." in refused["error"]["message"]
        calls = provider.calls
    async with running_app(tmp_path, database_url=database.url, **settings(provider)) as app:
        for _ in range(20):
            await app.call("GET", "/health")
        assert provider.calls == calls
        status, controls = await change(app, batch_id, 5)
        assert (status, controls["paused"], controls["budget_usd"]) == (200, None, 5)
        assert (await app.call("POST", f"/api/batches/{batch_id}/resume"))[0] == 200
        assert (await app.ended(batch_id))["request_counts"]["succeeded"] == len(IDS)
        _, timeline = await app.call("GET", f"/api/batches/{batch_id}/timeline")
        entries = [(entry["action"], entry["detail"]) for entry in timeline["data"]]
        assert entries == [
            ("paused", found["paused"]["reason"]),
            ("budget_changed", "$5.00, and the batch goes on"),
        ]
    assert provider.calls == len(IDS)


async def test_calls_in_flight_at_the_budget_finish_and_no_other_starts(provider: HeldProvider, tmp_path: Path) -> None:
    async with running_app(tmp_path, **settings(provider)) as app:
        batch_id = (await app.create(*IDS, headers={HEADER: str(CALL_COST)}))["id"]
        await provider.until_called(CONCURRENCY)
        provider.answer_one()
        while (await progress(app, batch_id))["paused"] is None:
            pass
        for _ in range(50):
            await app.call("GET", "/health")
        at_pause = provider.calls
        assert at_pause == CONCURRENCY  # none has taken the place of the one that was answered
        provider.answering.set()
        found = await until_paused(app, batch_id)
        assert (found["succeeded"], provider.calls) == (at_pause, at_pause)


async def test_a_budget_is_given_on_every_surface_and_shown_in_the_progress(
    provider: HeldProvider, tmp_path: Path
) -> None:
    openai = structs.replace(account(provider), provider="openai", base_url=f"{provider.url}/v1")
    accounts = {"a": account(provider), "o": openai}
    async with running_app(tmp_path, accounts=accounts, default_provider="a", shutdown_timeout=0.0) as app:
        by_messages = (await app.create("a", headers={HEADER: "0.5"}))["id"]
        file_id = await openai_batches.upload_lines(app, openai_batches.jsonl(openai_batches.chat_line("a")))
        body = openai_batches.create_body(file_id, provider="o")
        _, by_openai = await app.call("POST", openai_batches.BATCHES, json=body, headers={HEADER: "0.5"})
        rows = create_body("a")["requests"]
        status, unified = await app.call("POST", "/v1/batches", json={"requests": rows, "budget_usd": 0.5})
        assert status == 200, unified
        for batch_id in (by_messages, by_openai["id"], unified["id"]):
            assert (await progress(app, batch_id))["budget_usd"] == 0.5
        assert (await progress(app, (await app.create("b"))["id"]))["budget_usd"] is None


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "1e12", "much", ""])
async def test_a_budget_that_is_no_amount_is_refused(provider: HeldProvider, tmp_path: Path, value: str) -> None:
    async with running_app(tmp_path, **settings(provider)) as app:
        status, answer = await app.call("POST", BATCHES, json=create_body("a"), headers={HEADER: value})
        assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
        assert HEADER in answer["error"]["message"]


async def test_a_batch_whose_only_model_has_no_price_is_refused_with_a_budget(
    provider: HeldProvider, tmp_path: Path
) -> None:
    async with running_app(tmp_path, **settings(provider)) as app:
        body = create_body("a", model="other")
        status, answer = await app.call("POST", BATCHES, json=body, headers={HEADER: "1"})
        assert status == 400
        assert "account 'a' has no price for the model 'other'" in answer["error"]["message"]
        assert (await app.call("POST", BATCHES, json=body))[0] == 200


async def test_a_retry_has_the_budget_of_its_parent_another_one_or_none(provider: HeldProvider, tmp_path: Path) -> None:
    provider.answering.set()
    async with running_app(tmp_path, **settings(provider)) as app:
        _, parent = await app.call("POST", BATCHES, json=create_body("a"), headers={HEADER: "1"})
        await app.ended(parent["id"])
        path, every = f"/api/batches/{parent['id']}/retry", {"custom_ids": ["a"]}
        asked: list[tuple[dict[str, Any], float | None]] = [
            ({}, 1),
            ({"budget_usd": 2.5}, 2.5),
            ({"budget_usd": None}, None),
        ]
        for changes, budget in asked:
            _, child = await app.call("POST", path, json=every | changes)
            assert (await progress(app, child["id"]))["budget_usd"] == budget
        status, answer = await app.call("POST", path, json=every | {"model": "other"})
        assert (status, answer["error"]["message"][:11]) == (400, "budget_usd:")
        assert f"or retry without the budget of batch '{parent['id']}': budget_usd null" in answer["error"]["message"]
        assert (await app.call("POST", path, json=every | {"model": "other", "budget_usd": None}))[0] == 200
        status, answer = await app.call("POST", path, json=every | {"model": "other", "budget_usd": 1})
        assert (status, "set prices" in str(answer), "retry without" in str(answer)) == (400, True, False)


async def test_an_answer_without_a_price_pauses_a_batch_with_a_budget_until_it_has_none(
    provider: HeldProvider, tmp_path: Path
) -> None:
    provider.answering.set()
    async with running_app(tmp_path, **settings(provider)) as app:
        body = create_body("priced")
        body["requests"] += create_body(*IDS, model="other")["requests"]
        _, batch = await app.call("POST", BATCHES, json=body, headers={HEADER: "1"})
        found = await until_paused(app, batch["id"], "price_unknown")
        assert found["paused"]["reason"] == "its budget of $1.00 cannot be kept: the price of an answer is unknown"
        assert provider.calls < len(IDS)
        assert (await change(app, batch["id"], None))[0] == 200
        assert (await app.ended(batch["id"]))["request_counts"]["succeeded"] == len(IDS) + 1


async def test_a_lower_budget_pauses_a_batch_at_once_in_the_name_of_who_set_it(tmp_path: Path) -> None:
    price = PriceSettings(input=1_000.0, output=1_000.0)
    accounts = {"quick": structs.replace(simulator(), prices={"*": price}), "busy": simulator(rate_limit_rate=1.0)}
    keys = {"nightly": ApiKeySettings(key="sk-nightly")}
    key: dict[str, Any] = {"headers": {"x-api-key": "sk-nightly"}}
    async with running_app(tmp_path, accounts=accounts, default_provider="quick", api_keys=keys) as app:
        body = create_body("a")
        body["requests"] += create_body("waits", model="busy/m")["requests"]
        batch_id = (await app.call("POST", BATCHES, json=body, **key))[1]["id"]
        while (await app.call("GET", f"/api/batches/{batch_id}/progress", **key))[1]["succeeded"] < 1:
            pass
        status, controls = await change(app, batch_id, 0.000001, **key)
        assert (status, controls["paused"]["code"], controls["paused"]["by"]) == (200, "budget_reached", "nightly")
        assert (await change(app, batch_id, 0.000001, **key))[1] == controls
        _, timeline = await app.call("GET", f"/api/batches/{batch_id}/timeline", **key)
        (entry,) = timeline["data"]
        assert (entry["action"], entry["by"]) == ("budget_changed", "nightly")
        assert entry["detail"] == "$0.000001, which is reached"


async def test_the_budget_of_a_batch_that_has_ended_stays(provider: HeldProvider, tmp_path: Path) -> None:
    provider.answering.set()
    async with running_app(tmp_path, **settings(provider)) as app:
        batch_id = (await app.create("a"))["id"]
        await app.ended(batch_id)
        status, answer = await change(app, batch_id, 1)
        assert (status, answer["error"]["message"]) == (
            400,
            f"Batch {batch_id!r} has ended; its budget cannot be changed.",
        )
        assert (await change(app, "msgbatch_none", 1))[0] == 404


async def test_workers_of_several_processes_stop_together_at_the_budget(provider: HeldProvider, tmp_path: Path) -> None:
    workers, concurrency = 2, 8
    provider.answering.set()
    with fresh_database() as url:
        accounts = {"a": account(provider, concurrency=concurrency)}
        shared: dict[str, Any] = {"accounts": accounts, "database_url": url, "worker_heartbeat_timeout": 3.0}
        async with AsyncExitStack() as stack, asyncio.timeout(TIMEOUT):
            gateway = await stack.enter_async_context(running_app(tmp_path, role="gateway", **shared))
            for _ in range(workers):
                await stack.enter_async_context(running_app(tmp_path, role="worker", clock=gateway.clock, **shared))
            batch_id = (await gateway.create(*(f"r{n}" for n in range(2_000)), headers={HEADER: "2"}))["id"]
            while (await progress(gateway, batch_id))["paused"] is None:
                pass
            found = await settled(gateway, batch_id)
            overshoot = round((found["spent"]["direct_usd"] - 2) / CALL_COST)
            assert 0 <= overshoot <= concurrency  # which the workers share
