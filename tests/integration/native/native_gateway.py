"""A gateway whose account has a simulated batch API, and a clock that moves both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from batchgate.providers.simulator.batches.control import JournalJob
from batchgate.settings import AccountSettings
from tests.support.running_app import BATCHES, RunningApp, running_app
from tests.support.simulated_batches import SimulatedProviders, simulated_providers

STEP = 10.0
"""Seconds by which the clocks move at once."""
KEY = "provider-key-0123456789"
CALLS = 5
"""Calls to the gateway between two moves of the clocks: it needs some real time for calls of its own."""
PATHS = {"openai": "/openai/v1", "anthropic": "/anthropic", "groq": "/groq/openai/v1"}


@dataclass(frozen=True)
class NativeGateway:
    """A gateway and its simulated providers."""

    app: RunningApp
    providers: SimulatedProviders

    async def pass_time(self, seconds: float = STEP, calls: int = CALLS) -> None:
        """Move the clocks of the providers and of the gateway, and let it work for as long as some calls take."""
        await self.providers.advance(seconds)
        self.app.clock.move(seconds)
        for _ in range(calls):
            await self.app.call("GET", "/health")

    async def until_ended(self, batch_id: str, step: float = STEP) -> dict[str, Any]:
        """Let time pass until a batch has ended, and return it."""
        while True:
            status, batch = await self.app.call("GET", f"{BATCHES}/{batch_id}")
            assert status == 200, batch
            if batch["processing_status"] == "ended":
                assert isinstance(batch, dict)
                return batch
            await self.pass_time(step)

    async def jobs_upstream(self, number: int = 1) -> list[JournalJob]:
        """Wait until the provider has so many jobs, and return them."""
        while len(jobs := await self.providers.jobs()) < number:
            await self.pass_time(1.0)
        return jobs

    async def progress(self, batch_id: str) -> dict[str, Any]:
        """Return the progress of a batch."""
        _, progress = await self.app.call("GET", f"/api/batches/{batch_id}/progress")
        assert isinstance(progress, dict)
        return progress


@asynccontextmanager
async def native_gateway(
    data_dir: Path, provider: Literal["openai", "anthropic", "groq"] = "openai", **account: Any
) -> AsyncIterator[NativeGateway]:
    """Run a gateway with one account of a provider."""
    async with simulated_providers() as providers:
        given = {"lane": "auto"} | account
        settings = AccountSettings(provider=provider, base_url=providers.url + PATHS[provider], api_key=KEY, **given)
        async with running_app(data_dir, accounts={provider: settings}) as app:
            yield NativeGateway(app, providers)
