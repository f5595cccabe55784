"""A gateway without API keys serves this machine, but no web page of another site in its browsers."""

from pathlib import Path

import pytest

from batchgate.settings import ApiKeySettings
from tests.support.error_responses import check_anthropic_error
from tests.support.raw_http import raw_connection
from tests.support.running_app import BATCHES, RunningApp, create_body, running_app

FORBIDDEN = (403, "permission_error")


async def expect_forbidden(app: RunningApp, method: str, path: str, headers: dict[str, str]) -> str:
    async with app.client.request(method, app.url + path, headers=headers) as response:
        return check_anthropic_error(response.status, response.headers, await response.read(), expected=FORBIDDEN)


@pytest.mark.parametrize("path", [BATCHES, "/health", "/metrics", "/openapi.json", "/nowhere"])
@pytest.mark.parametrize("host", ["rebound.example", "rebound.example:8080", "127.0.0.1.rebound.example", "a.local."])
async def test_an_unknown_host_name_is_refused_with_the_setting_to_change(
    gateway: RunningApp, host: str, path: str
) -> None:
    error = await expect_forbidden(gateway, "GET", path, {"Host": host})
    assert error == f"Host: {host!r} is not known; set public_url to the URL with this name, or use api_keys"


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8080",
        "10.1.2.3",
        "[::1]:8080",
        "localhost",
        "LOCALHOST:8080",
        "batchgate:8080",
        "batchgate.localhost",
        "host.docker.internal:8080",
        "llm.example",
        "LLM.example:8443",
    ],
)
async def test_a_gateway_accepts_its_own_addresses_and_host_names(tmp_path: Path, host: str) -> None:
    async with running_app(tmp_path, public_url="https://llm.example/gateway") as app:
        assert (await app.call("GET", BATCHES, headers={"Host": host}))[0] == 200


async def test_a_call_without_a_host_header_is_accepted(gateway: RunningApp) -> None:
    async with raw_connection(gateway.url) as connection:
        await connection.send(b"GET /health HTTP/1.0\r\n\r\n")
        assert (await connection.read_response()).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://elsewhere.example"},
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:3000"},
        {"Sec-Fetch-Site": "something-new"},
        {"Origin": "http://127.0.0.1:3000"},
        {"Origin": "http://127.0.0.1"},
        {"Origin": "http://127.0.0.1:99999"},
    ],
)
async def test_a_page_of_another_site_cannot_change_anything(gateway: RunningApp, headers: dict[str, str]) -> None:
    batch = await gateway.create("a")
    error = await expect_forbidden(gateway, "POST", f"{BATCHES}/{batch['id']}/cancel", headers)
    assert error == "Origin: pages of other sites may not call this gateway unless it has api_keys"
    _, batch = await gateway.call("GET", f"{BATCHES}/{batch['id']}", headers=headers)
    assert batch["cancel_initiated_at"] is None


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:8080"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "{own}"},
        {"Origin": "http://LOCALHOST:8080", "Host": "localhost:8080"},
        {"Origin": "https://localhost", "Host": "localhost"},
        {"Origin": "https://localhost:443", "Host": "localhost"},
        {"Origin": "http://[::1]:8080", "Host": "[::1]:8080"},
    ],
)
async def test_a_page_of_the_gateways_own_origin_can_create_a_batch(
    gateway: RunningApp, headers: dict[str, str]
) -> None:
    headers = {name: value.format(own=gateway.url) for name, value in headers.items()}
    assert await gateway.create("a", headers=headers)


async def test_a_page_of_the_public_url_can_create_a_batch(tmp_path: Path) -> None:
    async with running_app(tmp_path, public_url="https://llm.example/gateway") as app:
        assert await app.create("a", headers={"Origin": "https://llm.example"})
        assert await expect_forbidden(app, "POST", BATCHES, {"Origin": "https://llm.example:8443"})


async def test_a_gateway_with_api_keys_accepts_every_host_name_and_origin(tmp_path: Path) -> None:
    async with running_app(tmp_path, api_keys={"caller": ApiKeySettings(key="sk-bf-known")}) as app:
        headers = {"x-api-key": "sk-bf-known", "Host": "any.example", "Origin": "https://elsewhere.example"}
        assert (await app.call("POST", BATCHES, json=create_body("a"), headers=headers))[0] == 200
