"""Requests that have to wait do not delay requests that could run."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
from aiohttp.test_utils import unused_port

from batchgate.providers.simulator.simulator import SimulatorSettings
from batchgate.settings import AccountSettings
from tests.support.running_app import BATCHES, RunningApp, params, running_app

ABOVE_CAPACITY = 12_000
"""Requests of one batch that exceed the capacity of a worker."""


def account(latency: float, concurrency: int = 64) -> AccountSettings:
    return AccountSettings(provider="simulator", concurrency=concurrency, simulator=SimulatorSettings(latency=latency))


async def create(app: RunningApp, *models: str) -> dict[str, Any]:
    requests = [{"custom_id": f"r{number}", "params": params(model)} for number, model in enumerate(models)]
    body = BytesIO(msgspec.json.encode({"requests": requests}))
    status, batch = await app.call("POST", BATCHES, data=body, headers={"Content-Type": "application/json"})
    assert status == 200, batch
    return dict(batch)


async def succeeded(app: RunningApp, batch_id: str, number: int) -> int:
    """Wait until ``number`` requests of a batch have succeeded, and return how many have."""
    done = 0
    while done < number:
        done = (await app.call("GET", f"/api/batches/{batch_id}/progress"))[1]["succeeded"]
    return done


async def test_requests_to_an_unreachable_account_delay_no_other_account(tmp_path: Path) -> None:
    # They used up the capacity of the worker, and no other shard was claimed until they expired.
    down = AccountSettings(provider="anthropic", base_url=f"http://127.0.0.1:{unused_port()}")
    accounts = {"down": down, "up": account(0.0)}
    async with running_app(tmp_path, accounts=accounts, shutdown_timeout=0.0) as app:
        waiting = await create(app, *["down/m"] * ABOVE_CAPACITY)
        batch = await create(app, *["up/m"] * 600)
        ended = await app.ended(batch["id"])
        assert ended["request_counts"]["succeeded"] == 600
        progress = (await app.call("GET", f"/api/batches/{waiting['id']}/progress"))[1]
        assert progress["succeeded"] + progress["errored"] == 0
        assert "down" in progress["paused"]["reason"]


async def test_in_a_batch_of_two_models_the_slow_one_does_not_delay_the_fast_one(tmp_path: Path) -> None:
    accounts = {"slow": account(3600.0, concurrency=4), "fast": account(0.0)}
    async with running_app(tmp_path, accounts=accounts, shutdown_timeout=0.0) as app:
        batch = await create(app, *["slow/m", "fast/m"] * (ABOVE_CAPACITY // 2))
        assert await succeeded(app, batch["id"], ABOVE_CAPACITY // 2) == ABOVE_CAPACITY // 2


async def test_a_shard_deferred_for_the_slow_model_runs_its_fast_requests_when_there_is_capacity(
    tmp_path: Path,
) -> None:
    # Some shards had been admitted when there was capacity for slow requests only; their fast ones waited for these.
    accounts = {"slow": account(3600.0, concurrency=4), "fast": account(0.05)}
    async with running_app(tmp_path, accounts=accounts, shutdown_timeout=0.0) as app:
        batch = await create(app, *["fast/m"] * 3_000, *["fast/m", "slow/m"] * 1_000)
        assert await succeeded(app, batch["id"], 4_000) == 4_000


async def test_deferred_requests_are_canceled_with_their_batch(tmp_path: Path) -> None:
    accounts = {"slow": account(0.5, concurrency=4)}
    async with running_app(tmp_path, accounts=accounts, shutdown_timeout=0.0) as app:
        batch = await create(app, *["slow/m"] * ABOVE_CAPACITY)
        await succeeded(app, batch["id"], 4)
        await app.call("POST", f"{BATCHES}/{batch['id']}/cancel")
        counts = (await app.ended(batch["id"]))["request_counts"]
        assert counts["canceled"] == ABOVE_CAPACITY - counts["succeeded"]


async def test_deferred_requests_expire_with_their_batch(tmp_path: Path) -> None:
    accounts = {"slow": account(0.5, concurrency=4)}
    async with running_app(tmp_path, accounts=accounts, shutdown_timeout=0.0) as app:
        batch = await create(app, *["slow/m"] * ABOVE_CAPACITY)
        await succeeded(app, batch["id"], 4)
        app.clock.move(24 * 3600)
        counts = (await app.ended(batch["id"]))["request_counts"]
        assert counts["expired"] == ABOVE_CAPACITY - counts["succeeded"]


async def test_a_batch_above_the_capacity_runs_to_its_end_and_sends_no_request_twice(tmp_path: Path) -> None:
    accounts = {"one": account(0.0), "other": account(0.0, concurrency=2)}
    async with running_app(tmp_path, accounts=accounts) as app:
        batch = await create(app, *["one/m", "other/m", "one/n"] * (ABOVE_CAPACITY // 3))
        assert (await app.ended(batch["id"]))["request_counts"]["succeeded"] == ABOVE_CAPACITY
        progress = (await app.call("GET", f"/api/batches/{batch['id']}/progress"))[1]
        assert progress["repeated"] == 0


async def test_a_batch_near_its_expiry_runs_before_all_others_that_wait(tmp_path: Path) -> None:
    # By its usual priority the rest of the old batch comes after the first shards of all others.
    async with running_app(tmp_path, accounts={"slow": account(0.05, concurrency=8)}, shutdown_timeout=0.0) as app:
        old = await create(app, *["slow/m"] * 2_000)
        await succeeded(app, old["id"], 8)
        app.clock.move(23 * 3600)
        others = [await create(app, *["slow/m"] * 500) for _ in range(6)]
        await succeeded(app, old["id"], 1_000)
        progress = [(await app.call("GET", f"/api/batches/{other['id']}/progress"))[1] for other in others]
        assert sum(each["succeeded"] for each in progress) < 300
