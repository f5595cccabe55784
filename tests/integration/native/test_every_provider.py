"""For each provider of the documented enum a batch ends on its simulator, in each lane that it has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from batchgate.account_settings import AccountSettings
from batchgate.providers.registry.providers import PROVIDERS
from batchgate.providers.simulator.batches.settings import BatchSettings
from batchgate_codegen.request_kinds import native_lane
from tests.integration.native.lane_client import BASES
from tests.integration.native.native_gateway import KEY, MIN_REQUESTS, MODELS, NativeGateway, cloud_account
from tests.support import unified_batches
from tests.support.running_app import running_app
from tests.support.simulated_batches import SimulatedProviders, simulated_providers

IDS: Final = [f"request-{number:02}" for number in range(MIN_REQUESTS)]
NATIVE: Final = [f"{name}-native" for name in PROVIDERS if native_lane(name)]
"""The accounts of the native lane; those of the direct lane have the names of their providers."""
OWN_REQUESTS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "replicate": ("/v1/predictions", {"version": "v", "input": {"prompt": "Hello"}}),
    "elevenlabs": ("/v1/music", {"prompt": "rain"}),
    "runway": ("/v1/text_to_video", {"model": "gen4_turbo", "promptText": "a fox"}),
}
"""The requests of providers that have urls of their own."""
QUICK: Final = BatchSettings(validating=1, running=4, finalizing=1, file_pending=0)


def account(providers: SimulatedProviders, provider: str, lane: str) -> AccountSettings:
    """Make an account at the simulator of a provider, for one lane."""
    given: dict[str, Any] = {"api_key": KEY, "lane": lane}
    given |= cloud_account(provider, providers.url)
    base_url = providers.url + (f"/{provider}" if provider in OWN_REQUESTS else BASES.get(provider, f"/{provider}/v1"))
    return AccountSettings(provider=provider, base_url=base_url, **given)


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[NativeGateway]:
    """Run a gateway with an account for each provider and lane."""
    async with simulated_providers(settings=QUICK) as providers:
        accounts = {name: account(providers, name, "direct") for name in PROVIDERS}
        accounts |= {name: account(providers, name.removesuffix("-native"), "native") for name in NATIVE}
        async with running_app(tmp_path, accounts=accounts) as app:
            yield NativeGateway(app, providers)


async def create(gateway: NativeGateway, name: str) -> str:
    """Create a batch for an account, and return its id."""
    if name in OWN_REQUESTS:
        url, body = OWN_REQUESTS[name]
        requests = [{"custom_id": custom_id, "url": url, "body": body} for custom_id in IDS]
        return str((await unified_batches.create(gateway.app, model=f"{name}/any", requests=requests))["id"])
    model = MODELS.get(name.removesuffix("-native"), "simulated")
    rows = unified_batches.chat_rows(*IDS)
    return str((await unified_batches.create(gateway.app, model=f"{name}/{model}", requests=rows))["id"])


async def results(gateway: NativeGateway, batch_name: str, batch_id: str) -> Sequence[Any]:
    """Let time pass until a batch has ended, and return its results."""
    while (await gateway.progress(batch_id))["status"] != "ended":
        if batch_name not in OWN_REQUESTS:  # their tasks are polled in real time
            await gateway.pass_time()
    async with gateway.app.client.get(f"{gateway.app.url}/api/batches/{batch_id}/results") as response:
        return [msgspec.json.decode(line) for line in (await response.read()).splitlines()]


async def test_a_batch_ends_at_each_provider_in_each_lane_with_every_id_once(gateway: NativeGateway) -> None:
    created = {name: await create(gateway, name) for name in (*PROVIDERS, *NATIVE)}
    for name in sorted(created, key=lambda name: name not in OWN_REQUESTS):
        batch_id = created[name]
        found = await results(gateway, name, batch_id)
        assert [line["custom_id"] for line in found] == IDS, name
        assert {line["response"]["status_code"] for line in found} == {200}, name
        jobs = (await gateway.progress(batch_id))["jobs"]
        assert sum(job["answered"] for job in jobs) == (len(IDS) if name in NATIVE else 0), name
