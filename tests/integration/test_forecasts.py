"""The progress of a batch says when it will end: by what the store knows, at a gateway that does not run it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from batchgate.account_settings import AccountSettings, PriceSettings
from tests.support.databases import DATABASES, Database, new_database
from tests.support.held_provider import ANSWER
from tests.support.http_server import http_server
from tests.support.running_app import MovableClock, RunningApp, running_app

TIMEOUT = 120.0  # seconds; only a state that never comes should exceed it
STEP = 5.0  # seconds of the moved clock
FAST = 10  # requests a second


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with new_database(request.param, tmp_path) as database:
        yield database


class PacedBatch:
    """A batch whose provider answers as many calls a second as the test says."""

    def __init__(self, gateway: RunningApp, batch_id: str, permits: asyncio.Semaphore) -> None:
        self.gateway = gateway
        self.path = f"/api/batches/{batch_id}"
        self._permits = permits
        self._start = gateway.clock.time
        self.answered = 0

    async def run(self, per_second: float, *, seconds: float) -> None:
        """Let time pass, in which so many calls are answered."""
        for _ in range(round(seconds / STEP)):
            self.gateway.clock.move(STEP)
            answers = round(per_second * STEP)
            self.answered += answers
            for _ in range(answers):
                self._permits.release()
            while (await self.progress())["succeeded"] < self.answered:
                pass

    async def progress(self) -> dict[str, Any]:
        """Return the progress of the batch."""
        _, progress = await self.gateway.call("GET", f"{self.path}/progress")
        assert isinstance(progress, dict)
        return progress

    async def end(self) -> float:
        """Return the predicted end, in seconds after the start."""
        return self._seconds((await self.progress())["forecast"]["ends_at"])

    def _seconds(self, moment: str) -> float:
        since_1970 = datetime.fromisoformat(moment) - datetime.fromisoformat("1970-01-01T00:00:00Z")
        return since_1970 / timedelta(seconds=1) - self._start / 1e6


@asynccontextmanager
async def paced_batch(tmp_path: Path, database: Database, requests: int) -> AsyncIterator[PacedBatch]:
    """Run a batch; on PostgreSQL the gateway and the worker are two processes."""
    permits, called, clock = asyncio.Semaphore(0), asyncio.Event(), MovableClock()

    async def answer(_request: web.Request) -> web.Response:
        called.set()
        await permits.acquire()
        return web.json_response(ANSWER)

    async with asyncio.timeout(TIMEOUT), AsyncExitStack() as stack:
        url = await stack.enter_async_context(http_server(answer))
        prices = {"*": PriceSettings(input=1.0, output=1.0)}
        account = AccountSettings(provider="anthropic", base_url=url, api_key="k", concurrency=64, prices=prices)
        given: dict[str, Any] = {"clock": clock, "accounts": {"a": account}, "database_url": database.url}
        if database.url is None:
            gateway = await stack.enter_async_context(running_app(tmp_path, **given))
        else:
            gateway = await stack.enter_async_context(running_app(tmp_path, role="gateway", **given))
            await stack.enter_async_context(running_app(tmp_path, role="worker", **given))
        created = await gateway.create(*(f"r{number}" for number in range(requests)))
        await called.wait()
        try:
            yield PacedBatch(gateway, created["id"], permits)
        finally:
            for _ in range(requests):
                permits.release()


async def test_at_a_fifth_of_a_steady_batch_its_end_and_its_cost_are_predicted_within_15_percent(
    database: Database, tmp_path: Path
) -> None:
    async with paced_batch(tmp_path, database, requests=1000) as batch:
        assert (await batch.progress())["forecast"] is None
        await batch.run(FAST, seconds=20)
        assert await batch.end() == pytest.approx(100, rel=0.15)
        progress = await batch.progress()
        forecast = progress["forecast"]
        assert forecast["earliest"] < forecast["ends_at"] < forecast["latest"]
        assert (forecast["basis"], forecast["unfinished_at_expiry"]) == ("calls", 0)
        assert forecast["requests_per_second"] == pytest.approx(FAST, rel=0.15)
        assert forecast["total_usd"] == pytest.approx(5 * progress["spent"]["direct_usd"])
        assert progress["tokens"] == {"input": 200, "cached_input": 0, "output": 200, "reasoning": 0}


async def test_a_minute_after_the_provider_has_slowed_down_by_half_the_end_is_right_again(
    database: Database, tmp_path: Path
) -> None:
    async with paced_batch(tmp_path, database, requests=1000) as batch:
        await batch.run(FAST, seconds=50)
        await batch.run(FAST / 2, seconds=60)
        assert await batch.end() == pytest.approx(150, rel=0.15)
        assert await batch.end() - 110 == pytest.approx(40, rel=0.15)


async def test_a_paused_batch_has_no_forecast_and_a_resumed_one_is_measured_anew(tmp_path: Path) -> None:
    with new_database("sqlite", tmp_path) as database:
        async with paced_batch(tmp_path, database, requests=1000) as batch:
            await batch.run(FAST, seconds=20)
            gateway, path = batch.gateway, batch.path
            await gateway.call("POST", f"{path}/pause")
            assert (await batch.progress())["forecast"] is None
            gateway.clock.move(3600)
            await gateway.call("POST", f"{path}/resume")
            assert (await batch.progress())["forecast"] is None
