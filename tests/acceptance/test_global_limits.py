"""The provider sees an account's limits kept over all workers, also while workers start, are killed and stop."""

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
"""Seconds without a heartbeat after which a worker is considered dead."""
PATIENCE = 60.0  # seconds
SECONDS_OF_CALLS = 0.2


@dataclass
class Provider:
    """A simulated provider that records when calls begin and how many are in flight at once."""

    url: str = ""
    call_starts: list[float] = field(default_factory=list)
    in_flight: int = 0
    max_in_flight: int = 0

    @web.middleware
    async def record(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> Any:
        """Record a call."""
        self.call_starts.append(time.monotonic())
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        try:
            return await handler(request)
        finally:
            self.in_flight -= 1

    def max_calls_within(self, seconds: float) -> int:
        """Return the largest number of calls that began within any window of this length."""
        return max(
            (number - bisect_left(self.call_starts, end - seconds) + 1 for number, end in enumerate(self.call_starts)),
            default=0,
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

    async def start_worker(self) -> WorkerProcess:
        """Start a worker."""
        worker = WorkerProcess(data_dir=self.folder, settings=self.settings)
        return await asyncio.to_thread(self.stack.enter_context, worker)

    async def create(self, requests: int) -> str:
        """Create a batch."""
        body = create_body(*(f"r{number}" for number in range(requests)))
        async with self.session.post(self.gateway.url + BATCHES, json=body) as response:
            return str((await response.json())["id"])

    async def succeeded(self, batch_id: str) -> int:
        """Return how many requests have succeeded."""
        async with self.session.get(f"{self.gateway.url}/api/batches/{batch_id}/progress") as response:
            return int((await response.json())["succeeded"])

    async def wait_for_successes(self, batch_id: str, succeeded: int) -> None:
        """Wait until this many requests have succeeded."""
        async with asyncio.timeout(PATIENCE):
            while await self.succeeded(batch_id) < succeeded:
                pass

    async def wait_for_more(self, batch_id: str, number: int) -> None:
        """Wait until this many more requests have succeeded."""
        await self.wait_for_successes(batch_id, await self.succeeded(batch_id) + number)


@asynccontextmanager
async def running_installation(
    folder: Path, latency: float = SECONDS_OF_CALLS, **limits: int
) -> AsyncIterator[Installation]:
    provider = Provider()
    simulated = build_simulator_app(SimulatorSettings(latency=latency))
    simulated.middlewares.append(provider.record)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(TestServer(simulated))
        provider.url = f"http://127.0.0.1:{server.port}"
        session = await stack.enter_async_context(aiohttp.ClientSession())
        url = stack.enter_context(fresh_database())
        processes = stack.enter_context(ExitStack())
        account = f'provider = "anthropic"\nbase_url = "{provider.url}"\napi_key = "k"\n'
        account += "".join(f"{name} = {limit}\n" for name, limit in limits.items())
        settings = f'database_url = "{url}"\nworker_heartbeat_timeout = {TIMEOUT}\nshutdown_timeout = 5\n'
        settings += f"[accounts.anthropic]\n{account}"
        gateway = GatewayProcess(data_dir=folder, settings=settings, options=("--no-worker",))
        await asyncio.to_thread(processes.enter_context, gateway)
        yield Installation(provider, processes, folder, settings, gateway, session)
        await asyncio.to_thread(processes.close)


async def test_calls_in_flight_stay_within_the_account_concurrency_while_workers_start_are_killed_and_stop(
    tmp_path: Path,
) -> None:
    async with running_installation(tmp_path, concurrency=10) as run:
        batch = await run.create(5_000)
        workers = []
        for _ in range(3):
            workers.append(await run.start_worker())
            await run.wait_for_more(batch, 100)
        assert run.provider.max_in_flight == 10, "one worker uses the whole concurrency, several together use no more"
        workers[0].kill()
        await run.wait_for_more(batch, 100)
        workers[1].signal(signal.SIGSTOP)
        await asyncio.sleep(2 * TIMEOUT)  # meanwhile the worker is considered dead
        workers[1].signal(signal.SIGCONT)
        await run.wait_for_more(batch, 100)
        workers.append(await run.start_worker())
        await run.wait_for_more(batch, 100)
        await asyncio.to_thread(workers[2].terminate)
        await run.wait_for_more(batch, 100)
        before = len(run.provider.call_starts)
        await asyncio.sleep(3.0)
        assert run.provider.max_in_flight == 10
        rate = (len(run.provider.call_starts) - before) / 3.0
        assert rate > 0.6 * 10 / SECONDS_OF_CALLS, "the remaining workers use the concurrency of the others"


async def test_three_workers_keep_a_concurrency_of_one_and_every_batch_completes(tmp_path: Path) -> None:
    async with running_installation(tmp_path, latency=0.02, concurrency=1) as run:
        workers = [await run.start_worker() for _ in range(3)]
        batches = [await run.create(30) for _ in range(3)]
        for batch in batches:
            await run.wait_for_successes(batch, 30)
        assert run.provider.max_in_flight == 1
        assert all(worker.running for worker in workers)


async def test_requests_per_minute_hold_for_the_account_over_all_workers(tmp_path: Path) -> None:
    per_minute, window = 600, 6.0
    async with running_installation(tmp_path, latency=0.01, requests_per_minute=per_minute) as run:
        batch = await run.create(5_000)
        workers = []
        for _ in range(3):
            workers.append(await run.start_worker())
            await run.wait_for_more(batch, 20)
        workers[0].kill()
        await asyncio.sleep(window)
        await run.start_worker()
        await asyncio.sleep(window)
        allowed = per_minute * window / 60
        max_calls = run.provider.max_calls_within(window)
        assert 0.8 * allowed < max_calls <= allowed + len(workers) + 1
