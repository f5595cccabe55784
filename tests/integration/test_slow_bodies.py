"""Bodies that trickle, and callers that begin very many: each is bounded, in the envelope of its surface."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest

from batchgate.api import request_body
from batchgate.settings import ApiKeySettings
from tests.support.raw_http import RawConnection, RawResponse, raw_connection, request_head
from tests.support.running_app import BATCHES, RunningApp, create_body, running_app

FORM = "Content-Type: multipart/form-data; boundary=b"
JSON = "Content-Type: application/json"
DOORS = {
    "message batches": (BATCHES, JSON, b'{"requests": ['),
    "batches": ("/openai/v1/batches", JSON, b"{"),
    "unified batches": ("/v1/batches?provider=openai", JSON, b'{"requests": ['),
    "files": ("/openai/v1/files", FORM, b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'),
}
EACH_DOOR = pytest.mark.parametrize(("path", "content_type", "begin"), DOORS.values(), ids=DOORS)


async def begin_body(connection: RawConnection, path: str, *headers: str, begin: bytes) -> None:
    """Send the head of a request that announces a long body, and the beginning of the body when it is asked for."""
    await connection.send(request_head(f"POST {path}", *headers, "Content-Length: 500000", "Expect: 100-continue"))
    if await connection.is_asked_for_body():
        await connection.send(begin)


@EACH_DOOR
async def test_a_body_that_trickles_times_out(
    tmp_path: Path, path: str, content_type: str, begin: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_body, "READ_TIMEOUT", 0.5)
    async with running_app(tmp_path, min_upload_rate=100_000) as app, raw_connection(app.url) as connection:
        await begin_body(connection, path, content_type, begin=begin)
        answer = await trickle(app, connection)
    assert answer.status == 408
    message = msgspec.json.decode(answer.body)["error"]["message"]
    assert message.startswith("the body arrived at less than 100000 bytes a second for ")


async def test_a_slow_body_that_keeps_the_pace_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_body, "READ_TIMEOUT", 0.05)
    body = msgspec.json.encode(create_body("a", "b"))
    async with running_app(tmp_path, min_upload_rate=0) as app, raw_connection(app.url) as connection:
        await connection.send(request_head(f"POST {BATCHES}", JSON, f"Content-Length: {len(body)}"))
        for byte in body:
            await connection.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await connection.read_response()).status == 200


@EACH_DOOR
async def test_bodies_of_a_key_are_limited_and_other_keys_are_served(
    tmp_path: Path, path: str, content_type: str, begin: bytes
) -> None:
    one, two = "key-one-0123456789", "key-two-0123456789"
    keys = {"one": ApiKeySettings(key=one), "two": ApiKeySettings(key=two)}
    async with running_app(tmp_path, max_uploads_per_key=2, api_keys=keys) as app, AsyncExitStack() as stack:
        begun = [await stack.enter_async_context(raw_connection(app.url)) for _ in range(2)]
        for connection in begun:
            await begin_body(connection, path, content_type, f"x-api-key: {one}", begin=begin)
        refused = await refused_body(app, path, content_type, f"x-api-key: {one}", begin)
        assert refused.status in {503, 529}
        assert int(refused.headers["Retry-After"]) > 0
        message = msgspec.json.decode(refused.body)["error"]["message"]
        assert message == "This API key has 2 uploads open, the maximum. Try again when one has ended."
        status, _ = await app.call("POST", BATCHES, json=create_body("a"), headers={"x-api-key": two})
        assert status == 200
        await stack.aclose()
        # The first two have gone, so their places are free.
        while (await app.call("POST", BATCHES, json=create_body("a"), headers={"x-api-key": one}))[0] != 200:
            pass


async def trickle(app: RunningApp, connection: RawConnection) -> RawResponse:
    """Send a body byte by byte until it is answered."""
    answered = asyncio.create_task(connection.read_response())
    while not answered.done():
        await connection.send(b" ")
        await app.call("GET", "/health")
    return await answered


async def refused_body(app: RunningApp, path: str, content_type: str, key: str, begin: bytes) -> RawResponse:
    """Begin a body and return the answer, which comes before its end."""
    async with raw_connection(app.url) as connection:
        await begin_body(connection, path, content_type, key, begin=begin)
        return await connection.read_response()
