"""Requests that have to wait do not delay requests that could run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.test_utils import unused_port

from batchgate.account_settings import AccountSettings
from batchgate.providers.simulator.simulator import SimulatorSettings
from tests.support.http_server import http_server
from tests.support.running_app import BATCHES, RunningApp, params, running_app

ABOVE_CAPACITY = 12_000
"""Requests of one batch that exceed the capacity of a worker."""
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [{"type": "text", "text": "Hello"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 1, "output_tokens": 1},
}


def account(latency: float, concurrency: int = 64) -> AccountSettings:
    return AccountSettings(provider="simulator", concurrency=concurrency, simulator=SimulatorSettings(latency=latency))


def unreachable() -> AccountSettings:
    return AccountSettings(provider="anthropic", base_url=f"http://127.0.0.1:{unused_port()}")


async def create(app: RunningApp, *models: str, **fields: object) -> dict[str, Any]:
    requests = [{"custom_id": f"r{number}", "params": params(model) | fields} for number, model in enumerate(models)]
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
    accounts = {"down": unreachable(), "up": account(0.0)}
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


class HoldingUpstream:
    """A provider that answers no call until it is released, and then each at once; it keeps the users of the calls."""

    def __init__(self) -> None:
        self.users: list[str] = []
        self.released = asyncio.Event()

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one call."""
        self.users.append((await request.json())["metadata"]["user_id"])
        await self.released.wait()
        return web.json_response(MESSAGE)

    @asynccontextmanager
    async def account(self, concurrency: int) -> AsyncIterator[AccountSettings]:
        """Serve on a free port, and yield an account for it."""
        async with http_server(self.answer) as url:
            yield AccountSettings(provider="anthropic", base_url=url, concurrency=concurrency)


# Earlier this test compared progress at a moment that it polled for. On a busy machine the poll came too late.
async def test_a_batch_near_its_expiry_runs_before_all_others_that_wait(tmp_path: Path) -> None:
    # By its usual priority the rest of the old batch comes after the first shards of all others.
    upstream = HoldingUpstream()
    async with (
        upstream.account(concurrency=8) as held,
        running_app(tmp_path, accounts={"held": held, "down": unreachable()}, shutdown_timeout=0.0) as app,
    ):
        expiring = await create(app, "down/m")
        app.clock.move(3600)
        old = await create(app, *["held/m"] * 2_000, metadata={"user_id": "old"})
        app.clock.move(23 * 3600)
        await app.ended(expiring["id"])  # the sweep that expired it has found the old batch near its expiry too
        others = [await create(app, *["held/m"] * 500, metadata={"user_id": "other"}) for _ in range(6)]
        upstream.released.set()
        for batch in (old, *others):
            assert (await app.ended(batch["id"]))["request_counts"]["errored"] == 0
    assert upstream.users[:2_000].count("other") < 100
