"""A batch that is canceled while its job is polled has its job canceled at once, not after the next poll."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestServer

from batchgate.account_settings import AccountSettings
from tests.integration.native.lane_client import BASES
from tests.integration.native.native_gateway import KEY
from tests.support.running_app import BATCHES, running_app
from tests.support.simulated_batches import SimulatedProviders, simulated_providers

IDS = [f"request-{number}" for number in range(30)]
SOON = 20.0  # real seconds; only a cancel that waits for the clock exceeds it


class HeldPoll:
    """Forwards all calls to the provider, and holds the answer of the first poll."""

    def __init__(self, providers: SimulatedProviders) -> None:
        self._providers = providers
        self.polled = asyncio.Event()
        self.go_on = asyncio.Event()
        self.url = ""

    async def forward(self, request: web.Request) -> web.Response:
        """Answer a call as the provider does."""
        headers = {name: request.headers[name] for name in ("Authorization", "Content-Type") if name in request.headers}
        url, content = self._providers.url + request.path_qs, await request.read()
        async with self._providers.http.request(request.method, url, data=content, headers=headers) as answer:
            body = await answer.read()
        if request.method == "GET" and "/batches/" in request.path:
            self.polled.set()
            await self.go_on.wait()
        return web.Response(status=answer.status, body=body, content_type=answer.content_type)


@asynccontextmanager
async def held_poll(providers: SimulatedProviders) -> AsyncIterator[HeldPoll]:
    held = HeldPoll(providers)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", held.forward)
    async with TestServer(app) as server:
        held.url = str(server.make_url("/")).rstrip("/")
        yield held


async def test_a_cancel_during_a_poll_reaches_the_provider_before_the_next_poll_is_due(tmp_path: Path) -> None:
    async with simulated_providers() as providers, held_poll(providers) as held:
        await providers.configure(running=1000)
        url = held.url + BASES["openai"]
        account = AccountSettings(provider="openai", base_url=url, api_key=KEY, lane="auto", native_min_requests=20)
        async with running_app(tmp_path, accounts={"openai": account}) as app, asyncio.timeout(SOON):
            batch = await app.create(*IDS)
            await held.polled.wait()
            assert (await app.call("POST", f"{BATCHES}/{batch['id']}/cancel"))[0] == 200
            held.go_on.set()
            while [job.state for job in await providers.jobs()] != ["cancelling"]:
                await app.call("GET", "/health")
