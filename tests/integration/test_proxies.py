"""Company networks allow outgoing calls only through a proxy; a setting makes the gateway use it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from batchgate.account_settings import AccountSettings
from tests.support.running_app import running_app

ACCOUNT = AccountSettings(provider="anthropic", base_url="http://provider.invalid", api_key="sk-known")


@asynccontextmanager
async def proxy() -> AsyncIterator[tuple[str, list[str]]]:
    """Run a proxy that responds for every host, and yield its URL and the called hosts."""
    called_hosts: list[str] = []

    async def respond(request: web.BaseRequest) -> web.Response:
        await request.read()
        called_hosts.append(request.host)
        return web.json_response({"type": "message", "role": "assistant", "content": []})

    runner = web.ServerRunner(web.Server(respond))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", called_hosts
    finally:
        await runner.cleanup()


async def test_a_gateway_with_trust_env_calls_providers_through_the_proxy_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with proxy() as (url, called_hosts):
        monkeypatch.setenv("http_proxy", url)
        async with running_app(tmp_path, accounts={"a": ACCOUNT}, trust_env=True) as app:
            batch = await app.ended((await app.create("a"))["id"])
        assert batch["request_counts"]["succeeded"] == 1
        assert called_hosts == ["provider.invalid"]


async def test_a_gateway_without_trust_env_does_not_use_the_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with proxy() as (url, called_hosts):
        monkeypatch.setenv("http_proxy", url)
        async with running_app(tmp_path, accounts={"a": ACCOUNT}) as app:
            batch_id = (await app.create("a"))["id"]
            while (await app.call("GET", f"/api/batches/{batch_id}/progress"))[1]["paused"] is None:
                pass
        assert called_hosts == []
