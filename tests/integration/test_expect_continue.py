"""``Expect: 100-continue`` is answered only when the body is wanted."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from batchgate.settings import ApiKeySettings
from tests.support.raw_http import raw_connection, request_head
from tests.support.running_app import BATCHES, RunningApp, create_body, running_app
from tests.support.unified_batches import BATCHES as UNIFIED
from tests.support.uploads import MULTIPART, OPENAI, valid_form

JSON = "Content-Type: application/json"
EXPECT = "Expect: 100-continue"
BODY = msgspec.json.encode(create_body("a"))
FORM = f"Content-Type: {MULTIPART['Content-Type']}"
GB = 1024**3


@pytest.mark.parametrize(
    ("path", "content_type", "body"),
    [(BATCHES, JSON, BODY), (OPENAI, FORM, valid_form()), ("/openai/v1/batches", JSON, b"{}"), (UNIFIED, JSON, b"{}")],
)
async def test_a_body_that_is_wanted_is_asked_for(
    gateway: RunningApp, path: str, content_type: str, body: bytes
) -> None:
    async with raw_connection(gateway.url) as connection:
        await connection.send(request_head(f"POST {path}", content_type, f"Content-Length: {len(body)}", EXPECT))
        assert (await connection.read_response()).status == 100
        await connection.send(body)
        answer = await connection.read_response()
    assert answer.status == (400 if body == b"{}" else 200)


@pytest.mark.parametrize(
    ("line", "headers", "status"),
    [
        (f"POST {BATCHES}", (JSON, f"Content-Length: {GB}"), 413),
        (f"POST {UNIFIED}", (JSON, f"Content-Length: {GB}"), 413),
        (f"POST {OPENAI}", (FORM, f"Content-Length: {GB}"), 413),
        ("POST /openai/v1/batches", (JSON, f"Content-Length: {GB}"), 413),
        (f"POST {BATCHES}", ("Content-Type: text/plain", "Content-Length: 9"), 415),
        (f"POST {OPENAI}", ("Content-Type: multipart/form-data", "Content-Length: 9"), 400),
        (f"POST {BATCHES}", (JSON, "Content-Length: 9", "Content-Encoding: br"), 400),
        (f"POST {BATCHES}", (JSON, "Content-Length: 9", "x-model-provider: nobody"), 400),
        ("POST /nowhere", (JSON, "Content-Length: 9"), 404),
        (f"PUT {BATCHES}", (JSON, "Content-Length: 9"), 405),
        ("POST /openai/v1/nothing", (JSON, "Transfer-Encoding: chunked"), 404),
    ],
)
async def test_a_refused_call_has_its_final_status_and_its_body_is_not_asked_for(
    gateway: RunningApp, line: str, headers: tuple[str, ...], status: int
) -> None:
    async with raw_connection(gateway.url) as connection:
        await connection.send(request_head(line, *headers, EXPECT))
        answer = await connection.read_response()
    assert answer.status == status, answer
    assert answer.headers["Connection"] == "close"
    assert answer.headers["request-id"].startswith("req_")
    assert msgspec.json.decode(answer.body)["error"]["message"]


async def test_a_call_without_a_valid_key_is_refused_before_its_body(tmp_path: Path) -> None:
    async with (
        running_app(tmp_path, api_keys={"team": ApiKeySettings(key="bg-test-key-1234567890")}) as app,
        raw_connection(app.url) as connection,
    ):
        await connection.send(request_head(f"POST {BATCHES}", JSON, f"Content-Length: {len(BODY)}", EXPECT))
        assert (await connection.read_response()).status == 401


async def test_the_connection_serves_on_after_a_body_that_was_asked_for(gateway: RunningApp) -> None:
    async with raw_connection(gateway.url) as connection:
        for _ in range(2):
            await connection.send(request_head(f"POST {BATCHES}", JSON, f"Content-Length: {len(BODY)}", EXPECT))
            assert (await connection.read_response()).status == 100
            await connection.send(BODY)
            answer = await connection.read_response()
            assert answer.status == 200
            assert answer.headers.get("Connection") != "close"


async def test_a_call_without_a_body_needs_no_continue(gateway: RunningApp) -> None:
    async with raw_connection(gateway.url) as connection:
        await connection.send(request_head("GET /health", EXPECT))
        assert (await connection.read_response()).status == 200
