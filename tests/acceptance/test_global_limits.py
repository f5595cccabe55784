"""An account's limits hold over all workers, as the provider sees it, also while workers come, are killed and go."""

from __future__ import annotations

import asyncio
import signal
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from batchgate.providers.simulator.server import build_simulator_app
from batchgate.providers.simulator.simulator import SimulatorSettings
from tests.support.gateway_process import GatewayProcess, WorkerProcess
from tests.support.postgres_server import fresh_database
from tests.support.running_app import BATCHES, create_body

TIMEOUT = 2.0
"""Seconds within which a worker that died is found out."""
PATIENCE = 60.0  # seconds
SECONDS_OF_CALLS = 0.3


@dataclass
class Provider:
    """A simulated provider that notes when calls begin, and how many are under way at once."""

    url: str = ""
    began: list[float] = field(default_factory=list)
    under_way: int = 0
    most: int = 0

    @web.middleware
    async def note(self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Any:
        """Count a call."""
        self.began.append(time.monotonic())
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            return await handler(request)
        finally:
            self.under_way -= 1

    def most_within(self, seconds: float) -> int:
        """Count the calls in the fullest window of so many seconds."""
        return max(
            (number - bisect_left(self.began, end - seconds) + 1 for number, end in enumerate(self.began)), default=0
        )


@dataclass
class Installation:
    """A provider, a gateway, and the workers that a test starts."""

    provider: Provider
    stack: ExitStack
    folder: Path
    settings: str
    gateway: GatewayProcess
    session: aiohttp.ClientSession

    async def worker(self) -> WorkerProcess:
        """Start a worker."""
        worker = WorkerProcess(data_dir=self.folder, settings=self.settings)
        return await asyncio.to_thread(self.stack.enter_context, worker)

    async def create(self, requests: int) -> str:
        """Create a batch."""
        body = create_body(*(f"r{number}" for number in range(requests)))
        async with self.session.post(self.gateway.url + BATCHES, json=body) as response:
            return str((await response.json())["id"])

    async def succeeded(self, batch_id: str) -> int:
        """Read how many requests have a result."""
        async with self.session.get(f"{self.gateway.url}/api/batches/{batch_id}/progress") as response:
            return int((await response.json())["succeeded"])

    async def wait(self, batch_id: str, succeeded: int) -> None:
        """Wait until so many have."""
        async with asyncio.timeout(PATIENCE):
            while await self.succeeded(batch_id) < succeeded:
                pass

    async def more(self, batch_id: str, number: int) -> None:
        """Wait for some more."""
        await self.wait(batch_id, await self.succeeded(batch_id) + number)


@asynccontextmanager
async def installed(folder: Path, latency: float = SECONDS_OF_CALLS, **limits: int) -> AsyncIterator[Installation]:
    provider = Provider()
    simulated = build_simulator_app(SimulatorSettings(latency=latency))
    simulated.middlewares.append(provider.note)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(TestServer(simulated))
        provider.url = f"http://127.0.0.1:{server.port}"
        session = await stack.enter_async_context(aiohttp.ClientSession())
        url = stack.enter_context(fresh_database())
        processes = stack.enter_context(ExitStack())
        account = f'provider = "anthropic"\nbase_url = "{provider.url}"\napi_key = "k"\n'
        account += "".join(f"{name} = {limit}\n" for name, limit in limits.items())
        settings = f'database_url = "{url}"\nworker_heartbeat_timeout = {TIMEOUT}\nshutdown_timeout = 5\n[accounts.anthropic]\n{account}'
        gateway = GatewayProcess(data_dir=folder, settings=settings, options=("--no-worker",))
        await asyncio.to_thread(processes.enter_context, gateway)
        yield Installation(provider, processes, folder, settings, gateway, session)
        await asyncio.to_thread(processes.close)


async def test_no_more_calls_are_under_way_than_the_account_allows_while_workers_come_are_killed_and_go(
    tmp_path: Path,
) -> None:
    async with installed(tmp_path, concurrency=10) as run:
        batch = await run.create(5_000)
        workers = []
        for _ in range(3):
            workers.append(await run.worker())
            await run.more(batch, 100)
        assert run.provider.most == 10, "one alone has all of it, and several have no more together"
        workers[0].kill()
        await run.more(batch, 100)
        workers[1].signal(signal.SIGSTOP)
        await asyncio.sleep(2 * TIMEOUT)  # it is given up meanwhile
        workers[1].signal(signal.SIGCONT)
        await run.more(batch, 100)
        workers.append(await run.worker())
        await run.more(batch, 100)
        await asyncio.to_thread(workers[2].terminate)
        await run.more(batch, 100)
        before = len(run.provider.began)
        await asyncio.sleep(3.0)
        assert run.provider.most == 10
        rate = (len(run.provider.began) - before) / 3.0
        assert rate > 0.6 * 10 / SECONDS_OF_CALLS, "what those that went had is taken up by the others"


async def test_a_limit_of_one_is_kept_by_three_workers_and_starves_nobody(tmp_path: Path) -> None:
    async with installed(tmp_path, latency=0.02, concurrency=1) as run:
        workers = [await run.worker() for _ in range(3)]
        batches = [await run.create(30) for _ in range(3)]
        for batch in batches:
            await run.wait(batch, 30)
        assert run.provider.most == 1
        assert all(worker.running for worker in workers)


async def test_the_requests_of_a_minute_are_those_of_the_account_whoever_sends_them(tmp_path: Path) -> None:
    per_minute, window = 600, 6.0
    async with installed(tmp_path, latency=0.01, requests_per_minute=per_minute) as run:
        batch = await run.create(5_000)
        workers = []
        for _ in range(3):
            workers.append(await run.worker())
            await run.more(batch, 20)
        workers[0].kill()
        await asyncio.sleep(window)
        await run.worker()
        await asyncio.sleep(window)
        allowed = per_minute * window / 60
        most = run.provider.most_within(window)
        assert 0.8 * allowed < most <= allowed + len(workers) + 1
