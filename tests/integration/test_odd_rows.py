"""Unusual requests and responses that once stopped a batch, or the whole gateway."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from batchgate.account_settings import AccountSettings
from batchgate.engine.model.errors import ConfigurationError
from tests.support.http_server import http_server
from tests.support.running_app import BATCHES, RunningApp, create_body, running_app

MESSAGE = (
    b'{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"%s"}],'
    b'"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1}}'
)


@asynccontextmanager
async def upstream(answer: Callable[[], web.Response]) -> AsyncIterator[AccountSettings]:
    """Run a provider that always returns the same response, and yield an account for it."""

    async def handle(request: web.Request) -> web.Response:
        await request.read()
        return answer()

    async with http_server(handle) as url:
        yield AccountSettings(provider="anthropic", base_url=url)


async def first_result(app: RunningApp, body: dict[str, Any]) -> dict[str, Any]:
    _, batch = await app.call("POST", BATCHES, json=body)
    await app.ended(batch["id"])
    result: dict[str, Any] = (await app.results(batch["id"]))[0]["result"]
    return result


# The gateway parsed the whole line to read its custom_id. For these params the parser failed, and the handler of that
# failure parsed the line again. The batch never ended, and its finalization stopped all other batches.
@pytest.mark.parametrize("depth", [400, 700, 900, 960, 980, 1000])
async def test_a_request_nested_as_deeply_as_intake_accepts_ends(gateway: RunningApp, depth: int) -> None:
    deep = b'{"requests":[{"custom_id":"a","params":{"model":"m","max_tokens":1,"messages":%s}}]}'
    body = deep % (b"[" * depth + b"]" * depth)
    headers = {"Content-Type": "application/json"}
    status, batch = await gateway.call("POST", BATCHES, data=body, headers=headers)
    if status == 200:
        await gateway.call("POST", f"{BATCHES}/{batch['id']}/cancel")
        assert (await gateway.ended(batch["id"]))["request_counts"]["processing"] == 0
    else:
        assert "nested too deeply" in batch["error"]["message"]
    await gateway.ended((await gateway.create("b"))["id"])


# The bytes of the header reached the writer of the result line as lone surrogates, which it cannot write.
async def test_a_provider_error_with_a_non_utf_8_header_becomes_an_errored_result(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 400 Bad Request\r\nrequest-id: req_\xff\r\ncontent-length: 2\r\n\r\n{}")
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    account = AccountSettings(provider="anthropic", base_url=f"http://127.0.0.1:{port}")
    async with server, running_app(tmp_path, accounts={"odd": account}) as app:
        result = await first_result(app, create_body("a"))
        assert result["type"] == "errored"
        assert result["error"]["request_id"] == "req_\N{REPLACEMENT CHARACTER}"


# One such line made the whole result file unreadable for the SDK.
async def test_a_response_that_is_not_utf_8_is_kept_with_replacement_characters(tmp_path: Path) -> None:
    def answer() -> web.Response:
        return web.Response(body=MESSAGE % b"caf\xe9", content_type="application/json")

    async with upstream(answer) as account, running_app(tmp_path, accounts={"odd": account}) as app:
        result = await first_result(app, create_body("a"))
        assert result["type"] == "succeeded"
        assert result["message"]["content"][0]["text"] == "caf\N{REPLACEMENT CHARACTER}"


# Two gateways on one folder released each other's claims and sent requests to the provider twice.
async def test_a_second_gateway_on_the_same_folder_does_not_start(tmp_path: Path) -> None:
    async with running_app(tmp_path):
        with pytest.raises(ConfigurationError, match="data_dir"):
            async with running_app(tmp_path):
                pass
    async with running_app(tmp_path) as app:
        await app.create("a")
