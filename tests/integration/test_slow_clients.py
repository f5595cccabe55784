"""Clients that send no whole head, keep connections idle, or open very many: the gateway stays free for others."""

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.error_responses import check_openai_error
from tests.support.raw_http import RawConnection, raw_connection, request_head
from tests.support.running_app import BATCHES, running_app

BEGINNINGS = {"anthropic": BATCHES, "openai": "/openai/v1/batches", "unified": "/v1/batches", "gateway": "/api/keys"}
UNFINISHED_BODY = ("Content-Type: application/json", "Content-Length: 100")


@asynccontextmanager
async def connections(url: str, count: int, sent: bytes = b"") -> AsyncIterator[list[RawConnection]]:
    """Open so many connections, and send the same on each."""
    async with AsyncExitStack() as stack:
        opened: list[RawConnection] = []
        while len(opened) < count:
            opened.append(await stack.enter_async_context(raw_connection(url)))
            await opened[-1].send(sent)
        yield opened


async def health(url: str, **headers: str) -> int:
    """Return the status of /health on a new connection."""
    async with raw_connection(url) as connection:
        await connection.send(request_head("GET /health", *(f"{name}: {value}" for name, value in headers.items())))
        return (await connection.read_response()).status


async def test_a_connection_that_sends_nothing_is_closed(tmp_path: Path) -> None:
    async with running_app(tmp_path, head_timeout=0.2) as app, raw_connection(app.url) as connection:
        assert await connection.is_closed()


@pytest.mark.parametrize("surface", BEGINNINGS)
async def test_a_head_that_arrives_byte_by_byte_is_answered_with_408(tmp_path: Path, surface: str) -> None:
    async with running_app(tmp_path, head_timeout=0.3) as app, raw_connection(app.url) as connection:
        _, other = await app.call("DELETE", f"{BEGINNINGS[surface]}/nothing/there")
        await connection.send(f"POST {BEGINNINGS[surface]} HTTP/1.1\r\nHost: gateway.test\r\nX: ".encode())
        for _ in range(5):
            await connection.send(b"a")
            await app.call("GET", "/health")
        answer = await connection.read_response()
        assert await connection.is_closed()
    error = msgspec.json.decode(answer.body)
    assert answer.status == 408
    assert error.keys() == other.keys()
    assert error["error"]["message"] == "The head of the request did not arrive within 0.3 seconds."


async def test_a_second_head_on_a_connection_has_the_same_time(tmp_path: Path) -> None:
    async with running_app(tmp_path, head_timeout=0.3) as app, raw_connection(app.url) as connection:
        await connection.send(request_head("GET /health"))
        assert (await connection.read_response()).status == 200
        await connection.send(b"GET /health HTTP/1.1\r\n")
        assert (await connection.read_response()).status == 408
        assert await connection.is_closed()


async def test_an_idle_connection_is_closed_after_the_time_for_it(tmp_path: Path) -> None:
    async with running_app(tmp_path, keep_alive_timeout=0.3) as app, raw_connection(app.url) as connection:
        await connection.send(request_head("GET /health"))
        assert (await connection.read_response()).status == 200
        assert await connection.is_closed()


async def test_a_request_that_takes_longer_than_every_limit_is_answered(tmp_path: Path) -> None:
    limits: dict[str, Any] = {"head_timeout": 0.1, "keep_alive_timeout": 0.1}
    body = b'{"requests":[]}'
    async with running_app(tmp_path, **limits) as app, raw_connection(app.url) as connection:
        await connection.send(request_head(f"POST {BATCHES}", UNFINISHED_BODY[0], f"Content-Length: {len(body)}"))
        async with raw_connection(app.url) as idle:
            assert await idle.is_closed()  # a whole limit later
        await connection.send(body)
        assert (await connection.read_response()).status == 400


async def test_idle_connections_give_way_to_new_ones(tmp_path: Path) -> None:
    async with running_app(tmp_path, max_connections=5) as app, connections(app.url, 20) as idle:
        assert {await health(app.url) for _ in range(10)} == {200}
        assert [await connection.is_closed() for connection in idle[:15]] == [True] * 15


async def test_connections_without_any_request_give_way_before_those_that_are_kept_alive(tmp_path: Path) -> None:
    async with running_app(tmp_path, max_connections=5) as app, raw_connection(app.url) as kept:
        await kept.send(request_head("GET /health"))
        assert (await kept.read_response()).status == 200
        async with connections(app.url, 20):
            await kept.send(request_head("GET /health"))
            assert (await kept.read_response()).status == 200


async def test_a_full_gateway_answers_probes_and_refuses_other_calls(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    begun = request_head(f"POST {BATCHES}", *UNFINISHED_BODY) + b"{"
    async with running_app(tmp_path, max_connections=5) as app, connections(app.url, 5, begun):
        while await refused_call(app.url) is None:
            pass  # the gateway has yet to read the heads
        assert {await health(app.url) for _ in range(10)} == {200}
        refused: Any = await refused_call(app.url)
        message = check_openai_error(
            refused.status, refused.headers, refused.body, expected=(503, "server_error"), param=None, code=None
        )
        assert message == "The gateway has as many connections as it may have. Try again."
        assert int(refused.headers["Retry-After"]) > 0
    assert [record.message for record in caplog.records if record.levelno > logging.INFO] == []


async def refused_call(url: str) -> Any:
    """Return the answer to a call on a new connection if it is refused, else None."""
    async with raw_connection(url) as connection:
        await connection.send(request_head("GET /openai/v1/files"))
        answer = await connection.read_response()
        return answer if answer.status == 503 else None
