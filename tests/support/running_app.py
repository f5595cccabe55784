"""A gateway in the process and event loop of the test, on a real socket, with a clock that the test moves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from aiohttp import web, web_app

from batchgate.account_settings import AccountSettings
from batchgate.api.protocol import JsonErrorRunner
from batchgate.app import SETTINGS, build_app
from batchgate.engine.model.clock import MICROSECONDS
from batchgate.installation import Role
from batchgate.providers.simulator.simulator import SimulatorSettings
from batchgate.settings import Settings
from tests.support.blob_storage import BlobStorage
from tests.support.migrated_file import put_migrated_file

BATCHES = "/anthropic/v1/messages/batches"


class MovableClock:
    """A clock that stands still until the test moves it."""

    def __init__(self, now: int = 1_795_000_000 * MICROSECONDS) -> None:
        self.time = now
        self._elapsed = 0
        self.database_ahead = 0
        """By how many microseconds the clock of the database is ahead."""
        self._waiting: list[asyncio.Future[None]] = []

    def now(self) -> int:
        """Return the time in microseconds since the Unix epoch."""
        return self.time

    def monotonic(self) -> int:
        """Return by how many microseconds the clock was moved; a jump does not count."""
        return self._elapsed

    async def database_time(self) -> int:
        """Return the time of the database's clock."""
        return self.time + self.database_ahead

    async def sleep(self, seconds: float) -> None:
        """Wait until the test has moved the clock that far."""
        end = self._elapsed + round(seconds * MICROSECONDS)
        while self._elapsed < end:
            await self._moved()

    async def sleep_until(self, moment: int) -> None:
        """Wait until the clock has reached a time."""
        while self.time < moment:
            await self._moved()

    def jump(self, seconds: float) -> None:
        """Set the wall clock to another time, as an operator or a wrong time server does."""
        self.time += round(seconds * MICROSECONDS)

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self._elapsed += round(seconds * MICROSECONDS)
        self.time += round(seconds * MICROSECONDS)
        waiting, self._waiting = self._waiting, []
        for moved in waiting:
            if not moved.done():
                moved.set_result(None)

    async def _moved(self) -> None:
        moved = asyncio.get_running_loop().create_future()
        self._waiting.append(moved)
        await moved


@dataclass
class RunningApp:
    """A running gateway and a client for it."""

    app: web.Application
    url: str
    client: aiohttp.ClientSession
    clock: MovableClock
    data_dir: Path

    @property
    def database_url(self) -> str | None:
        """The URL of the PostgreSQL database of the gateway, if it has one."""
        return self.app[SETTINGS].database_url

    async def call(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """Make a request and return its status and decoded JSON body."""
        async with self.client.request(method, self.url + path, **options) as response:
            return response.status, msgspec.json.decode(await response.read())

    async def create(self, *custom_ids: str, **options: Any) -> dict[str, Any]:
        """Create a batch with one small request for each custom_id."""
        status, batch = await self.call("POST", BATCHES, json=create_body(*custom_ids), **options)
        assert status == 200, batch
        assert isinstance(batch, dict)
        return batch

    async def ended(self, batch_id: str) -> dict[str, Any]:
        """Poll a batch until it has ended, and return it."""
        while True:
            status, batch = await self.call("GET", f"{BATCHES}/{batch_id}")
            assert status == 200, batch
            if batch["processing_status"] == "ended":
                assert isinstance(batch, dict)
                return batch

    async def results(self, batch_id: str) -> list[dict[str, Any]]:
        """Download the results of a batch."""
        async with self.client.get(f"{self.url}{BATCHES}/{batch_id}/results") as response:
            assert response.status == 200, await response.text()
            return [msgspec.json.decode(line) for line in (await response.read()).splitlines()]


def create_body(*custom_ids: str, model: str = "simulated") -> dict[str, Any]:
    """Make the body of a create with one small request for each custom_id."""
    return {"requests": [{"custom_id": custom_id, "params": params(model)} for custom_id in custom_ids]}


def params(model: str = "simulated") -> dict[str, Any]:
    """Make the params of a small request."""
    return {"model": model, "max_tokens": 16, "messages": [{"role": "user", "content": "Hello"}]}


def simulator(**behaviour: Any) -> AccountSettings:
    """Make an account on the simulator, which needs no network and by default answers at once."""
    return AccountSettings(provider="simulator", simulator=SimulatorSettings(**({"latency": 0.0} | behaviour)))


@asynccontextmanager
async def running_app(
    data_dir: Path,
    *,
    role: Role = "both",
    clock: MovableClock | None = None,
    environment: dict[str, str] | None = None,
    **settings: Any,
) -> AsyncIterator[RunningApp]:
    """Run a gateway or a worker until the context is left; by default its only account is a simulator."""
    clock = clock or MovableClock()
    defaults: dict[str, Any] = {"accounts": {"simulator": simulator()}, "shutdown_timeout": 5.0}
    given = defaults | BlobStorage.settings() | settings
    if not given.get("database_url"):
        put_migrated_file(data_dir)
    app = build_app(
        Settings(data_dir=str(data_dir), **given),
        role=role,
        time_source=clock,
        database_time=clock.database_time if given.get("database_url") else None,
        environment=environment or {},
    )
    runner = JsonErrorRunner(app)
    try:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with aiohttp.ClientSession() as client:
            yield RunningApp(app, url, client, clock, data_dir)
    finally:
        await runner.cleanup()
        web_app._cached_build_middleware.cache_clear()  # keeps a thousand applications with all that they hold
