"""The progress of a batch says how many calls are in flight, how many may be, and why not more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from batchgate.engine.model.model_load import LimitReason, ModelLoad, combined_loads
from tests.support.held_provider import HeldProvider, held_provider
from tests.support.postgres_server import fresh_database
from tests.support.running_app import MovableClock, RunningApp, running_app, simulator

TIMEOUT = 120.0  # seconds; only a state that never comes should exceed it
IDS = [f"r{number}" for number in range(20)]


@pytest.fixture
async def provider() -> AsyncIterator[HeldProvider]:
    async with held_provider() as provider, asyncio.timeout(TIMEOUT):
        yield provider


async def concurrency(app: RunningApp, batch: dict[str, Any]) -> list[dict[str, Any]]:
    _, progress = await app.call("GET", f"/api/batches/{batch['id']}/progress")
    found = progress["concurrency"]
    assert isinstance(found, list)
    return found


async def test_the_calls_in_flight_are_shown_until_the_batch_has_ended(provider: HeldProvider, tmp_path: Path) -> None:
    async with running_app(tmp_path, accounts={"a": provider.account(concurrency=4)}) as app:
        batch = await app.create(*IDS)
        await provider.until_called(4)
        model = {"account": "a", "model": "simulated", "in_flight": 4, "limit": 4, "maximum": 4, "reason": None}
        assert await concurrency(app, batch) == [model]
        provider.answering.set()
        await app.ended(batch["id"])
        assert await concurrency(app, batch) == []


async def test_a_limit_that_refusals_have_lowered_says_so(tmp_path: Path) -> None:
    accounts = {"a": simulator(latency=0.05, max_concurrency=2, retry_after=0.05)}
    async with asyncio.timeout(TIMEOUT), running_app(tmp_path, accounts=accounts, shutdown_timeout=0.0) as app:
        batch = await app.create(*(f"r{number}" for number in range(2000)))
        while not (found := await concurrency(app, batch)) or found[0]["limit"] == found[0]["maximum"]:
            pass
        assert found[0]["reason"] == "refused"


async def test_a_gateway_adds_up_what_its_workers_report(provider: HeldProvider, tmp_path: Path) -> None:
    with fresh_database() as url:
        given: dict[str, Any] = {
            "accounts": {"a": provider.account(concurrency=4)},
            "database_url": url,
            "worker_heartbeat_timeout": 3.0,
            "clock": MovableClock(),
        }
        async with (
            running_app(tmp_path, role="gateway", **given) as gateway,
            running_app(tmp_path, role="worker", **given),
        ):
            batch = await gateway.create(*IDS)
            while not (found := await concurrency(gateway, batch)) or found[0]["in_flight"] < 4:
                pass
            assert (found[0]["limit"], found[0]["maximum"], found[0]["reason"]) == (4, 4, None)


@pytest.mark.parametrize(
    ("limits", "reasons", "expected"),
    [
        ((4, 4), ("shared", "shared"), None),
        ((4, 0), ("shared", "shared"), "shared"),
        ((4, 2), ("shared", "refused"), "refused"),
        ((4, 4), ("rate", "shared"), "rate"),
        ((4, 1), ("refused", "paused"), "paused"),
    ],
)
def test_the_most_important_reason_of_several_workers_counts(
    limits: tuple[int, ...], reasons: tuple[LimitReason, ...], expected: LimitReason | None
) -> None:
    loads = [
        ModelLoad(account="a", model="m", in_flight=1, limit=limit, maximum=8, reason=reason)
        for limit, reason in zip(limits, reasons, strict=True)
    ]
    other = ModelLoad(account="a", model="n", in_flight=0, limit=8, maximum=8)
    both = ModelLoad(account="a", model="m", in_flight=2, limit=sum(limits), maximum=8, reason=expected)
    assert combined_loads([*loads, other]) == (both, other)
