"""Providers quote the key of a call in their errors; the reader of the results may not be its owner."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from aiohttp import web
from msgspec import structs

from batchgate.account_settings import AccountSettings
from batchgate.accounts import endpoints
from batchgate.engine.model.errors import ConfigurationError
from batchgate.engine.model.provider_call import RequestRow, UpstreamRequest, UpstreamResponse
from batchgate.settings import Settings
from tests.support.engine_parts import no_secret
from tests.support.http_server import http_server
from tests.support.running_app import RunningApp, create_body, running_app

ODD_KEY = "7f/3Q+9planted=="
"""A key in a format that no provider uses."""
MESSAGE = '{"id":"m","type":"message","role":"assistant","content":[{"type":"text","text":"%s"}]}'


class NoTransport:
    """A transport that must not be used."""

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Fail."""
        raise AssertionError(request.url)


@asynccontextmanager
async def upstream(key: str, *, status: int, body: str, **headers: str) -> AsyncIterator[AccountSettings]:
    """Run a provider that always returns the same response, and yield an account with a key for it."""

    async def handle(request: web.Request) -> web.Response:
        await request.read()
        assert request.headers["x-api-key"] == key
        return web.Response(status=status, text=body, headers=headers)

    async with http_server(handle) as url:
        yield AccountSettings(provider="anthropic", base_url=url, api_key=key)


async def result(app: RunningApp) -> dict[str, Any]:
    _, batch = await app.call("POST", "/v1/messages/batches", json=create_body("a"))
    await app.ended(batch["id"])
    batch_result: dict[str, Any] = (await app.results(batch["id"]))[0]["result"]
    return batch_result


async def result_of(folder: Path, key: str, *, status: int, body: str, **headers: str) -> dict[str, Any]:
    async with (
        upstream(key, status=status, body=body, **headers) as account,
        running_app(folder, accounts={"a": account}) as app,
    ):
        return await result(app)


def error(message: str) -> str:
    return msgspec.json.encode(
        {"type": "error", "error": {"type": "invalid_request_error", "message": message}}
    ).decode()


@pytest.mark.parametrize(
    "body",
    [
        error(f"no such key: {ODD_KEY}!"),
        error(f"prefix{ODD_KEY}suffix"),
        error("x" * 1_990 + ODD_KEY),
        error("escaped").replace("escaped", ODD_KEY.replace("/", "\\/").replace("+", "\\u002B")),
        f"<html>{ODD_KEY}</html>",
    ],
)
async def test_the_key_of_an_account_is_redacted_from_errors_in_any_format(tmp_path: Path, body: str) -> None:
    batch_result = await result_of(tmp_path, ODD_KEY, status=400, body=body)
    assert batch_result["type"] == "errored"
    assert ODD_KEY[:4] not in str(batch_result)
    assert "[key]" in str(batch_result) or "…" in str(batch_result)


async def test_a_key_in_a_header_that_an_error_quotes_is_redacted(tmp_path: Path) -> None:
    batch_result = await result_of(
        tmp_path, ODD_KEY, status=307, body="", Location=f"https://up.example/?key={ODD_KEY}"
    )
    assert "https://up.example/?key=[key]" in batch_result["error"]["error"]["message"]


@pytest.mark.parametrize(
    ("key", "shown"),
    [("EMPTY", "EMPTY abc12 EMPTYabc12"), ("abc12", "EMPTY [key] EMPTYabc12")],
)
async def test_a_short_key_is_redacted_only_as_a_whole_word(tmp_path: Path, key: str, shown: str) -> None:
    batch_result = await result_of(tmp_path, key, status=400, body=error("EMPTY abc12 EMPTYabc12"))
    assert batch_result["error"]["error"]["message"] == shown


def percent(text: str) -> str:
    return quote(text, safe="")


def base64_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


FORMS = [
    pytest.param(percent(ODD_KEY), id="percent-encoded"),
    pytest.param(percent(ODD_KEY).replace("%2F", "%2f").replace("%2B", "%2b"), id="percent-encoded in lower case"),
    pytest.param(percent(percent(ODD_KEY)), id="percent-encoded twice"),
    pytest.param(ODD_KEY.encode().hex().upper(), id="hex"),
    *(pytest.param(base64_of("x" * before + ODD_KEY + "y"), id=f"base64 after {before} bytes") for before in range(4)),
    pytest.param(base64.urlsafe_b64encode(f"Bearer {ODD_KEY}".encode()).decode(), id="base64 for URLs"),
]


@pytest.mark.parametrize("form", FORMS)
async def test_an_encoded_key_is_redacted_from_errors(tmp_path: Path, form: str) -> None:
    batch_result = await result_of(tmp_path, ODD_KEY, status=400, body=error(f"got <{form}>"))
    assert batch_result["error"]["error"]["message"].startswith("got <")
    assert "[key]" in batch_result["error"]["error"]["message"]
    assert form[-10:-4] not in str(batch_result)


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("name", ["authorization", "user", "password"])
async def test_the_credentials_of_a_base_url_are_redacted(tmp_path: Path, status: int, name: str) -> None:
    said = {
        "authorization": f"Basic {base64_of('operator7:PASS/word9')}",
        "user": "operator7",
        "password": "PASS/word9",
    }
    body = MESSAGE % f"headers: {said[name]}!" if status == 200 else error(f"headers: {said[name]}!")
    async with upstream(ODD_KEY, status=status, body=body) as account:
        assert account.base_url is not None
        url = account.base_url.replace("://", "://operator7:PASS%2Fword9@")
        async with running_app(tmp_path, accounts={"a": structs.replace(account, base_url=url)}) as app:
            batch_result = await result(app)
    shown = "headers: Basic [key]!" if name == "authorization" else "headers: [key]!"
    assert shown in str(batch_result)


@pytest.mark.parametrize("form", [ODD_KEY, base64_of(f"Bearer {ODD_KEY}"), ODD_KEY.encode().hex()])
async def test_a_key_in_a_successful_answer_of_a_server_that_is_not_the_providers_own_is_redacted(
    tmp_path: Path, form: str
) -> None:
    batch_result = await result_of(tmp_path, ODD_KEY, status=200, body=MESSAGE % f"You sent {form}.")
    text = batch_result["message"]["content"][0]["text"]
    assert text.startswith("You sent ")
    assert text.endswith("[key].")
    assert form[-10:-4] not in text


def test_a_successful_answer_of_the_providers_own_server_is_not_changed() -> None:
    accounts = {"a": AccountSettings(provider="anthropic", api_key=ODD_KEY)}
    (endpoint,) = endpoints(Settings(accounts=accounts), NoTransport(), {}, no_secret)
    row = RequestRow(custom_id="a", params=b'{"model":"m","max_tokens":1,"messages":[]}', model="m", headers={})
    endpoint.handler.encode(endpoint.account, row)
    body = (MESSAGE % ODD_KEY).encode()
    assert endpoint.handler.decode(row, UpstreamResponse(status=200, headers={}, body=body)) == body


@pytest.mark.parametrize(
    "base_url", ["http://u:planted-pw@[::1", "http://u:planted-pw@host:port", "ftp://u:planted-pw@h", "http://"]
)
def test_a_base_url_that_cannot_be_read_is_named_without_its_password(base_url: str) -> None:
    accounts = {"a": AccountSettings(provider="anthropic", api_key="k", base_url=base_url)}
    with pytest.raises(ConfigurationError, match=r"^accounts\.a\.base_url: a URL with http or https, not ") as caught:
        list(endpoints(Settings(accounts=accounts), NoTransport(), {}, no_secret))
    assert "planted" not in str(caught.value)
