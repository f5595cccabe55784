"""A simulator with the providers' batch APIs, in the event loop of the test, whose clock only the test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import aiohttp
import msgspec
from aiohttp.test_utils import TestServer

from batchgate.providers.simulator.batches.app import SimulatedBatches
from batchgate.providers.simulator.batches.control import Journal, JournalJob
from batchgate.providers.simulator.batches.faults import NO_FAULTS, BatchFaults
from batchgate.providers.simulator.batches.settings import BatchSettings
from batchgate.providers.simulator.server import build_simulator_app
from batchgate.providers.simulator.simulator import SimulatorSettings
from tests.support.running_app import MovableClock

HOUR: Final = 3600.0
DAY: Final = 24 * HOUR


@dataclass(frozen=True)
class SimulatedProviders:
    """A running simulator, and its control paths."""

    url: str
    http: aiohttp.ClientSession

    async def advance(self, seconds: float) -> None:
        """Move the clock, and let all jobs do what is due."""
        await self._send("POST", "/simulator/clock", {"advance": seconds})

    async def play(self, **faults: object) -> None:
        """Switch on faults of `BatchFaults`, and all others off."""
        await self._send("POST", "/simulator/faults", faults)

    async def configure(self, **settings: object) -> None:
        """Replace the `BatchSettings` of new jobs."""
        await self._send("PUT", "/simulator/settings", settings)

    async def jobs(self) -> list[JournalJob]:
        """Return all jobs, oldest first."""
        async with self.http.get(f"{self.url}/simulator/jobs") as response:
            return msgspec.json.decode(await response.read(), type=Journal).jobs

    async def _send(self, method: str, path: str, content: object) -> None:
        async with self.http.request(method, self.url + path, data=msgspec.json.encode(content)) as response:
            assert response.status < 300, await response.text()


@asynccontextmanager
async def simulated_providers(
    model: SimulatorSettings | None = None,
    settings: BatchSettings | None = None,
    faults: BatchFaults = NO_FAULTS,
) -> AsyncIterator[SimulatedProviders]:
    """Run a simulator on a free port until the context is left."""
    options = SimulatedBatches(settings=settings or BatchSettings(), faults=faults, time_source=MovableClock())
    server = TestServer(build_simulator_app(model or SimulatorSettings(latency=0), options))
    async with server, aiohttp.ClientSession() as http:
        yield SimulatedProviders(str(server.make_url("/")).rstrip("/"), http)
