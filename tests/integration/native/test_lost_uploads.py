"""An input file that the provider has, although the answer to its upload was lost, is deleted with its job."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from batchgate.account_settings import AccountSettings
from tests.integration.native.lane_client import BASES
from tests.integration.native.native_gateway import KEY, MIN_REQUESTS, NativeGateway
from tests.support.running_app import BATCHES, MovableClock, running_app
from tests.support.simulated_batches import SimulatedProviders, simulated_providers

IDS = [f"request-{number}" for number in range(30)]
EACH_PROVIDER = pytest.mark.parametrize("provider", ["openai", "mistral"])


class LossyProxy:
    """Forwards all calls to the provider, and loses the answers to uploads while it is told to."""

    def __init__(self, providers: SimulatedProviders) -> None:
        self._providers = providers
        self.is_lossy = True
        self.url = ""

    async def forward(self, request: web.Request) -> web.Response:
        """Answer a call as the provider does."""
        headers = {name: request.headers[name] for name in ("Authorization", "Content-Type") if name in request.headers}
        url, content = self._providers.url + request.path_qs, await request.read()
        async with self._providers.http.request(request.method, url, data=content, headers=headers) as answer:
            body = await answer.read()
        if self.is_lossy and request.method == "POST" and request.path.endswith("/files"):
            assert request.transport is not None
            request.transport.close()
        return web.Response(status=answer.status, body=body, content_type=answer.content_type)


@asynccontextmanager
async def lossy_proxy(providers: SimulatedProviders) -> AsyncIterator[LossyProxy]:
    lossy = LossyProxy(providers)
    app = web.Application(client_max_size=2**30)
    app.router.add_route("*", "/{path:.*}", lossy.forward)
    async with TestServer(app) as server:
        lossy.url = str(server.make_url("/")).rstrip("/")
        yield lossy


async def files(providers: SimulatedProviders, provider: str) -> list[str]:
    """List the files that the provider has."""
    url = f"{providers.url}{BASES[provider]}/files"
    async with providers.http.get(url, headers={"Authorization": f"Bearer {KEY}"}) as response:
        assert response.status == 200
        return [file["id"] for file in (await response.json())["data"]]


async def until_deleted(gateway: NativeGateway, provider: str) -> None:
    """Let time pass until the provider has no file; without an end the test fails by its time limit."""
    while await files(gateway.providers, provider):
        await gateway.pass_time(60)


@asynccontextmanager
async def lossy_provider(provider: str) -> AsyncIterator[tuple[SimulatedProviders, LossyProxy, dict[str, Any]]]:
    """Provide a provider behind a lossy proxy, and the arguments of a gateway for it."""
    async with simulated_providers() as providers, lossy_proxy(providers) as lossy:
        url = lossy.url + BASES[provider]
        account = AccountSettings(
            provider=provider, base_url=url, api_key=KEY, lane="auto", native_min_requests=MIN_REQUESTS
        )
        yield providers, lossy, {"clock": MovableClock(), "accounts": {provider: account}}


async def lose_uploads(gateway: NativeGateway, number: int) -> str:
    """Create a batch whose job is uploaded so often without an answer, and return its id."""
    batch = await gateway.app.create(*IDS)
    while len(await files(gateway.providers, gateway.provider)) < number:
        await gateway.pass_time(1.0)
    return str(batch["id"])


@EACH_PROVIDER
async def test_files_whose_uploads_got_no_answer_before_a_restart_are_deleted_after_it(
    tmp_path: Path, provider: str
) -> None:
    async with lossy_provider(provider) as (providers, lossy, given):
        async with running_app(tmp_path, **given) as app:
            batch_id = await lose_uploads(NativeGateway(app, providers, provider), 2)
        lossy.is_lossy = False
        async with running_app(tmp_path, **given) as app:
            gateway = NativeGateway(app, providers, provider)
            ended = await gateway.until_ended(batch_id)
            assert ended["request_counts"]["succeeded"] == len(IDS)
            assert [job.paid for job in await providers.jobs()] == [len(IDS)]
            await until_deleted(gateway, provider)


@EACH_PROVIDER
async def test_a_file_whose_upload_got_no_answer_is_deleted_when_its_batch_is_canceled(
    tmp_path: Path, provider: str
) -> None:
    async with lossy_provider(provider) as (providers, _, given), running_app(tmp_path, **given) as app:
        gateway = NativeGateway(app, providers, provider)
        batch_id = await lose_uploads(gateway, 1)
        assert (await app.call("POST", f"{BATCHES}/{batch_id}/cancel"))[0] == 200
        await gateway.until_ended(batch_id)
        assert [job["state"] for job in (await gateway.progress(batch_id))["jobs"]] == ["withdrawn"]
        await until_deleted(gateway, provider)
