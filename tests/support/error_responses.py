"""Checks the error responses of the gateway in the envelope of each API."""

from collections.abc import AsyncIterable, Mapping
from io import BytesIO
from typing import Any

import aiohttp
import msgspec
from yarl import URL

from tests.support.running_app import BATCHES, RunningApp

JSON = {"Content-Type": "application/json"}


def check_anthropic_error(
    status: int, headers: Mapping[str, str], body: bytes, *, expected: tuple[int, str], code: str | None = None
) -> str:
    """Check an error response in the Anthropic envelope, and return its message."""
    assert status == expected[0], body
    assert headers["Content-Type"] == "application/json"
    answer = msgspec.json.decode(body)
    error = answer.pop("error")
    assert answer == {"type": "error", "request_id": headers["request-id"]}
    assert headers["request-id"].startswith("req_01")
    assert error["type"] == expected[1]
    assert error.get("details") == ({"error_code": code} if code else None)
    assert isinstance(error["message"], str)
    return error["message"]


def check_openai_error(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    expected: tuple[int, str],
    param: str | None,
    code: str | None,
) -> str:
    """Check an error response in the OpenAI envelope, and return its message."""
    assert status == expected[0], body
    assert headers["Content-Type"] == "application/json"
    assert headers["x-request-id"].startswith("req_01")
    answer = msgspec.json.decode(body)
    message = answer["error"].pop("message")
    assert answer == {"error": {"type": expected[1], "param": param, "code": code}}
    assert isinstance(message, str)
    return message


def check_unified_error(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    expected: tuple[int, str],
    param: str | None,
    code: str | None,
) -> str:
    """Check an error response in the envelope of the unified surface, and return its message."""
    assert status == expected[0], body
    assert headers["Content-Type"] == "application/json"
    answer = msgspec.json.decode(body)
    message = answer["error"].pop("message")
    assert answer == {
        "is_bifrost_error": status >= 500,
        "status_code": status,
        "error": {"type": expected[1]} | ({"param": param} if param else {}) | ({"code": code} if code else {}),
        "extra_fields": {},
    }
    assert isinstance(message, str)
    return message


async def expect_anthropic_error(
    app: RunningApp, method: str, path: str, *, expected: tuple[int, str], code: str | None = None, **options: Any
) -> str:
    """Make a request that must be refused with nothing stored, and return the message."""
    async with app.client.request(method, URL(app.url + path, encoded=True), **options) as response:
        message = check_anthropic_error(
            response.status, response.headers, await response.read(), expected=expected, code=code
        )
    await assert_nothing_stored(app)
    return message


async def expect_create_error(
    app: RunningApp,
    body: bytes | AsyncIterable[bytes],
    *,
    expected: tuple[int, str] = (400, "invalid_request_error"),
    code: str | None = None,
    encoding: str | None = None,
) -> str:
    """Create a batch from a body that must be refused, and return the message."""
    headers = JSON | ({"Content-Encoding": encoding} if encoding else {})
    data = BytesIO(body) if isinstance(body, bytes) else body
    return await expect_anthropic_error(app, "POST", BATCHES, expected=expected, code=code, data=data, headers=headers)


async def assert_nothing_stored(app: RunningApp) -> None:
    """Check that no batch and no blob is stored, not even a part of a blob."""
    async with aiohttp.ClientSession() as client, client.get(app.url + BATCHES) as response:
        page = msgspec.json.decode(await response.read())
    assert page == {"data": [], "has_more": False, "first_id": None, "last_id": None}
    assert [path for path in (app.data_dir / "blobs").rglob("*") if path.is_file()] == []
