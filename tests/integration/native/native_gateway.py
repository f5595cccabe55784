"""A gateway whose account has a simulated batch API, and a clock that moves both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batchgate.account_settings import AccountSettings
from batchgate.providers.simulator.batches.control import JournalJob
from batchgate.providers.simulator.batches.settings import BatchSettings
from tests.integration.native.lane_client import AWS_KEY, BASES, CLOUDS, bucket_options
from tests.support.running_app import BATCHES, RunningApp, params, running_app
from tests.support.simulated_batches import SimulatedProviders, simulated_providers

STEP = 10.0
"""Seconds by which the clocks move at once."""
KEY = "provider-key-0123456789"
MIN_REQUESTS = 20
CALLS = 5
"""Calls to the gateway between two moves of the clocks: it needs some real time for calls of its own."""
MODELS = {"xai": "grok-4.3", "bedrock": "anthropic.claude-simulated"}
"""Models with a discount, of the providers where not all have one, and with a format of their own."""

FACTORS: dict[str, dict[str, Any]] = {"cohere": {"native_factors": {"*": 0.5}}}
"""The settings of providers that publish no discount, without which the lane ``auto`` makes no job."""


@dataclass(frozen=True)
class NativeGateway:
    """A gateway and its simulated providers."""

    app: RunningApp
    providers: SimulatedProviders
    provider: str = "openai"

    async def create(self, *ids: str, **options: Any) -> dict[str, Any]:
        """Create a batch with one request for each id, for a model with a discount."""
        sent = params(MODELS.get(self.provider, "simulated"))
        requests = [{"custom_id": custom_id, "params": sent} for custom_id in ids]
        status, batch = await self.app.call("POST", BATCHES, json={"requests": requests}, **options)
        assert status == 200, batch
        assert isinstance(batch, dict)
        return batch

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


def cloud_account(provider: str, url: str) -> dict[str, Any]:
    """Return the settings that only an account has whose jobs need a bucket; none for other providers."""
    if provider not in CLOUDS:
        return {}
    own = {"api_key": AWS_KEY, "job_min_requests": MIN_REQUESTS} if provider == "bedrock" else {}
    return {**CLOUDS[provider], **own, "batch_options": bucket_options(provider, url)}


@asynccontextmanager
async def native_gateway(
    data_dir: Path, provider: str = "openai", *, environment: dict[str, str] | None = None, **account: Any
) -> AsyncIterator[NativeGateway]:
    """Run a gateway with one account of a provider."""
    # The gateway waits in real time for a file that is pending.
    async with simulated_providers(settings=BatchSettings(file_pending=0)) as providers:
        given: dict[str, Any] = {"lane": "auto", "api_key": KEY, "native_min_requests": MIN_REQUESTS}
        given |= cloud_account(provider, providers.url) | FACTORS.get(provider, {}) | account
        settings = AccountSettings(provider=provider, base_url=providers.url + BASES[provider], **given)
        async with running_app(data_dir, accounts={provider: settings}, environment=environment) as app:
            yield NativeGateway(app, providers, provider)
