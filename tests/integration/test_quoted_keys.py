"""Providers quote the key of a call in their errors; the reader of the results may not be its owner."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from batchgate.settings import AccountSettings
from tests.support.running_app import RunningApp, create_body, running_app

ODD_KEY = "7f/3Q+9planted=="
"""A key in a format that no provider uses."""
MESSAGE = '{"id":"m","type":"message","role":"assistant","content":[{"type":"text","text":"%s"}]}'


@asynccontextmanager
async def upstream(key: str, *, status: int, body: str, **headers: str) -> AsyncIterator[AccountSettings]:
    """Run a provider that always returns the same response, and yield an account with a key for it."""

    async def handle(request: web.Request) -> web.Response:
        await request.read()
        assert request.headers["x-api-key"] == key
        return web.Response(status=status, text=body, headers=headers)

    app = web.Application()
    app.router.add_post("/v1/messages", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield AccountSettings(provider="anthropic", base_url=url, api_key=key)
    finally:
        await runner.cleanup()


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


async def test_a_successful_response_that_contains_the_key_is_not_changed(tmp_path: Path) -> None:
    batch_result = await result_of(tmp_path, ODD_KEY, status=200, body=MESSAGE % ODD_KEY)
    assert batch_result["message"]["content"][0]["text"] == ODD_KEY
