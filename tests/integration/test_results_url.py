"""A results_url works for the caller: it leads to the gateway through the same host, proxy and mount."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.error_responses import check_anthropic_error
from tests.support.raw_http import raw_connection, request_head
from tests.support.running_app import BATCHES, RunningApp, running_app

MOUNTS = pytest.mark.parametrize("mount", ["/anthropic", "", "/v1", "/anthropic/v1"])
FORWARDED = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "api.example:8443", "X-Forwarded-Prefix": "/llm"}


async def ended_batch(app: RunningApp) -> str:
    batch_id = (await app.ended((await app.create("a"))["id"]))["id"]
    assert isinstance(batch_id, str)
    return batch_id


async def results_url(app: RunningApp, path: str, **headers: str) -> str:
    status, batch = await app.call("GET", path, headers=headers)
    assert status == 200, batch
    assert isinstance(batch["results_url"], str)
    return batch["results_url"]


@MOUNTS
async def test_a_results_url_uses_the_mount_that_the_caller_used(gateway: RunningApp, mount: str) -> None:
    batch_id = await ended_batch(gateway)
    collection = f"{mount}/v1/messages/batches"
    url = await results_url(gateway, f"{collection}/{batch_id}")
    assert url == f"{gateway.url}{collection}/{batch_id}/results"
    async with gateway.client.get(url) as response:
        assert response.status == 200
        assert (await response.read()).startswith(b'{"custom_id":"a"')
    _, page = await gateway.call("GET", collection)
    _, canceled = await gateway.call("POST", f"{collection}/{batch_id}/cancel")
    assert [page["data"][0]["results_url"], canceled["results_url"]] == [url, url]


async def test_a_results_url_is_built_from_the_host_of_each_request(gateway: RunningApp) -> None:
    path = f"{BATCHES}/{await ended_batch(gateway)}"
    for host in ("localhost:8080", "batchgate", "10.0.0.1:80", "[::1]:8080"):
        assert await results_url(gateway, path, Host=host) == f"http://{host}{path}/results"


@pytest.mark.parametrize(
    ("settings", "base"),
    [
        pytest.param({}, None, id="by default proxies are not trusted"),
        pytest.param({"trusted_proxies": ("10.0.0.0/8",)}, None, id="another network is trusted"),
        pytest.param({"trusted_proxies": ("127.0.0.0/8",)}, "https://api.example:8443/llm", id="the proxy is trusted"),
        pytest.param({"trusted_proxies": ("::1", "127.0.0.1")}, "https://api.example:8443/llm", id="by its address"),
        pytest.param({"public_url": "https://public.example/"}, "https://public.example", id="configured"),
        pytest.param(
            {"public_url": "https://public.example/a/b", "trusted_proxies": ("127.0.0.1",)},
            "https://public.example/a/b",
            id="configured, behind a trusted proxy",
        ),
    ],
)
@MOUNTS
async def test_the_settings_decide_how_a_results_url_begins_behind_a_proxy(
    tmp_path: Path, settings: dict[str, Any], base: str | None, mount: str
) -> None:
    async with running_app(tmp_path, **settings) as app:
        path = f"{mount}/v1/messages/batches/{await ended_batch(app)}"
        assert await results_url(app, path, **FORWARDED) == f"{base or app.url}{path}/results"


@MOUNTS
async def test_a_relative_results_url_has_no_mount_since_the_sdk_joins_it_to_the_base_url(
    tmp_path: Path, mount: str
) -> None:
    async with running_app(tmp_path, relative_results_url=True, public_url="https://public.example") as app:
        batch_id = await ended_batch(app)
        url = await results_url(app, f"{mount}/v1/messages/batches/{batch_id}", **FORWARDED)
        assert url == f"/v1/messages/batches/{batch_id}/results"
        async with app.client.get(f"{app.url}{mount}{url}") as response:
            assert response.status == 200


@pytest.mark.parametrize("host", ["evil.example/", "user@evil.example", "a b", "{id}", "<script>", "evil.example:x"])
async def test_an_invalid_host_never_appears_in_a_results_url(gateway: RunningApp, host: str) -> None:
    path = f"{BATCHES}/{await ended_batch(gateway)}"
    async with raw_connection(gateway.url) as connection:
        await connection.send(request_head(f"GET {path}").replace(b"gateway.test", host.encode()))
        answer = await connection.read_response()
    message = check_anthropic_error(answer.status, answer.headers, answer.body, expected=(400, "invalid_request_error"))
    assert message == f"Host: it must be a name or an address, perhaps with a port, and is {host!r}"
