"""Bodies, files and answers with a byte order mark or in UTF-16, and result lines that every reader splits alike."""

from __future__ import annotations

import codecs
import gzip
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from tests.integration.test_odd_rows import MESSAGE, first_result, upstream
from tests.support import openai_batches, unified_batches
from tests.support.running_app import BATCHES, RunningApp, create_body, running_app, simulator
from tests.support.uploads import OPENAI, file_part, part, upload

JSON = {"Content-Type": "application/json"}
SEPARATORS = "a\u2028b\u2029c\u0085d"


def utf8(text: str) -> bytes:
    return codecs.BOM_UTF8 + text.encode()


def utf16_le(text: str) -> bytes:
    return codecs.BOM_UTF16_LE + text.encode("utf-16-le")


def utf16_be(text: str) -> bytes:
    return codecs.BOM_UTF16_BE + text.encode("utf-16-be")


every_encoding = pytest.mark.parametrize("encode", [utf8, utf16_le, utf16_be])


def dump(document: Any) -> str:
    return msgspec.json.encode(document).decode()


@every_encoding
@pytest.mark.parametrize("compressed", [False, True])
async def test_a_create_of_messages_may_have_a_mark(gateway: RunningApp, encode: Any, compressed: bool) -> None:
    body = encode(dump(create_body("a", "b")))
    headers = JSON | ({"Content-Encoding": "gzip"} if compressed else {})
    status, batch = await gateway.call(
        "POST", BATCHES, data=gzip.compress(body) if compressed else body, headers=headers
    )
    assert status == 200, batch
    assert (await gateway.ended(batch["id"]))["request_counts"]["succeeded"] == 2


@every_encoding
async def test_a_unified_create_may_have_a_mark(tmp_path: Path, encode: Any) -> None:
    body = {"model": "openai/simulated", "requests": unified_batches.chat_rows("a")}
    async with running_app(tmp_path, accounts={"openai": simulator()}) as app:
        status, batch = await app.call("POST", unified_batches.BATCHES, data=BytesIO(encode(dump(body))), headers=JSON)
        assert status == 200, batch
        ended = await unified_batches.wait_for_final_status(app, batch["id"])
    assert ended["request_counts"]["completed"] == 1


@every_encoding
async def test_a_file_and_a_create_of_openai_may_have_a_mark(gateway: RunningApp, encode: Any) -> None:
    lines = "\r\n".join(dump(openai_batches.chat_line(one, "é \N{GRINNING FACE}")) for one in ("a", "b"))
    content = encode(lines)
    file_id = await openai_batches.upload_lines(gateway, content)
    async with gateway.client.get(f"{gateway.url}{OPENAI}/{file_id}/content") as response:
        assert await response.read() == content, "a file is stored as it was uploaded"
    body = encode(dump(openai_batches.create_body(file_id)))
    status, batch = await gateway.call("POST", openai_batches.BATCHES, data=body, headers=JSON)
    assert status == 200, batch
    ended = await openai_batches.wait_for_final_status(gateway, batch["id"])
    assert ended["request_counts"] == {"total": 2, "completed": 2, "failed": 0}


@pytest.mark.parametrize("broken", [b'{\0"\0', b"{\0\x3d\xd8", b"{"])
async def test_invalid_utf_16_is_refused_in_plain_words(gateway: RunningApp, broken: bytes) -> None:
    body = codecs.BOM_UTF16_LE + broken + b"x"
    for path in (BATCHES, unified_batches.BATCHES, openai_batches.BATCHES):
        status, answer = await gateway.call("POST", path, data=body, headers=JSON)
        assert status == 400
        message = answer["error"]["message"]
        assert "UTF-16" in message or "not valid JSON" in message, message
    file = await upload(gateway, part("purpose", "batch"), file_part(body))
    _, batch = await gateway.call("POST", openai_batches.BATCHES, json=openai_batches.create_body(file["id"]))
    failed = await openai_batches.wait_for_final_status(gateway, batch["id"])
    assert failed["status"] == "failed"
    assert [fault["code"] for fault in failed["errors"]["data"]] == ["invalid_json_line"]


@every_encoding
@pytest.mark.parametrize("status", [200, 400])
async def test_an_answer_may_have_a_mark(tmp_path: Path, encode: Any, status: int) -> None:
    text = (MESSAGE % b"caf").decode().replace("caf", "café")
    error = '{"type":"error","error":{"type":"invalid_request_error","message":"café"}}'

    def answer() -> web.Response:
        return web.Response(
            status=status, body=encode(text if status == 200 else error), content_type="application/json"
        )

    async with upstream(answer) as account, running_app(tmp_path, accounts={"odd": account}) as app:
        result = await first_result(app, create_body("a"))
    if status == 200:
        assert result["message"]["content"][0]["text"] == "café"
    else:
        assert result["error"]["error"] == {"type": "invalid_request_error", "message": "café"}


# ---------------------------------------------------------------- line separators


@pytest.mark.parametrize("status", [200, 400])
async def test_result_lines_have_no_characters_that_readers_take_for_line_ends(tmp_path: Path, status: int) -> None:
    error = b'{"type":"error","error":{"type":"invalid_request_error","message":"%s"}}'
    body = (MESSAGE if status == 200 else error) % SEPARATORS.encode()

    def answer() -> web.Response:
        return web.Response(status=status, body=body, content_type="application/json")

    async with upstream(answer) as account, running_app(tmp_path, accounts={"odd": account}) as app:
        batch = await app.create("a", "b")
        await app.ended(batch["id"])
        async with app.client.get(f"{app.url}{BATCHES}/{batch['id']}/results") as response:
            text = (await response.read()).decode()
    assert len(text.splitlines()) == 2
    for line in text.splitlines():
        result = msgspec.json.decode(line)["result"]
        found = result["message"]["content"][0]["text"] if status == 200 else result["error"]["error"]["message"]
        assert found == SEPARATORS


@pytest.mark.parametrize("odd", ["a\u2028", "\u0085", "é\u2029é"])
async def test_a_custom_id_with_a_line_separator_does_not_break_its_result_line(gateway: RunningApp, odd: str) -> None:
    batch = await openai_batches.create(gateway, openai_batches.chat_line(odd), openai_batches.chat_line("b", 7))
    ended = await openai_batches.wait_for_final_status(gateway, batch["id"])
    async with gateway.client.get(f"{gateway.url}{OPENAI}/{ended['output_file_id']}/content") as response:
        text = (await response.read()).decode()
    [line] = text.splitlines()
    assert msgspec.json.decode(line)["custom_id"] == odd
