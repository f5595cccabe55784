"""What the HTTP client of the batch APIs does with errors, redirects, large answers and slow servers."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port

from batchgate.engine.model.errors import BlobError, NoUpstreamAnswer, UpstreamError, UpstreamUnreachable
from batchgate.engine.model.provider_call import Account
from batchgate.providers.batches.http_exchange import HttpCall, HttpExchange
from batchgate.providers.transport.proxy_transport import TransportSettings
from tests.unit.providers.batches.recorder import KEY, Recorder
from tests.unit.providers.transports import RawUpstream, Serve, Upstream, WireUpstream

HEADERS = {"authorization": f"Bearer {KEY}", "x-api-key": KEY, "openai-organization": "org"}


def account(url: str, timeout: float = 20.0) -> Account:
    return Account(name="acc", provider="openai", base_url=url, api_key=KEY, timeout=timeout)


async def get(exchange: HttpExchange, url: str, seconds: float = 20.0) -> bytes:
    """Send a GET and return the body."""
    return (await exchange.send(account(url, seconds), HttpCall(url=url, headers=HEADERS))).body


async def content(exchange: HttpExchange, url: str, seconds: float = 20.0) -> bytes:
    """Download a file and return it."""
    blocks = exchange.download(account(url, seconds), HttpCall(url=url, headers=HEADERS))
    return b"".join([block async for block in blocks])


async def large() -> AsyncIterator[bytes]:
    """Yield far more than the buffers of a connection hold."""
    for _ in range(64):
        yield b"x" * 1_048_576


async def test_a_refused_connection_means_that_nothing_was_sent(exchange: HttpExchange) -> None:
    url = f"http://127.0.0.1:{unused_port()}/v1/batches"

    with pytest.raises(UpstreamUnreachable, match=r"cannot connect to 127\.0\.0\.1:\d+: Connection refused") as caught:
        await get(exchange, url)

    assert caught.value.__cause__ is not None
    assert caught.value.retry_safe


@pytest.mark.parametrize(
    "reply",
    [b"", b"SSH-2.0\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"],
    ids=["nothing", "another protocol", "cut off"],
)
async def test_an_answer_that_is_not_whole_is_none(
    exchange: HttpExchange, raw_upstream: RawUpstream, reply: bytes
) -> None:
    url = await raw_upstream(reply)
    call = HttpCall(method="POST", url=url, headers=HEADERS, body=b"{}")

    with pytest.raises(NoUpstreamAnswer, match=r"the call to 127\.0\.0\.1:\d+ failed") as caught:
        await exchange.send(account(url), call)

    assert not isinstance(caught.value, UpstreamUnreachable)
    assert caught.value.retry_safe
    assert caught.value.__cause__ is not None


async def test_a_post_is_sent_once_even_if_the_connection_is_lost(
    exchange: HttpExchange, wire_upstream: WireUpstream
) -> None:
    seen: list[bytes] = []

    async def hang_up(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))

    serve: Serve = hang_up
    url = await wire_upstream(serve)
    with pytest.raises(NoUpstreamAnswer):
        await exchange.send(account(url), HttpCall(method="POST", url=url, headers=HEADERS, body=b"{}"))

    assert len(seen) == 1


async def test_an_error_shows_the_provider_s_words_but_never_the_key(
    exchange: HttpExchange, recorder: Recorder
) -> None:
    error = {"error": {"message": f"key {KEY} is no good", "code": "invalid_api_key"}, "request_id": "req_1"}
    recorder.answer("GET /v1", error, status=401, headers={"X-Echo": KEY})

    with pytest.raises(UpstreamError) as caught:
        await get(exchange, f"{recorder.url}/v1")

    assert (caught.value.status, caught.value.kind, caught.value.request_id) == (401, "authentication_error", "req_1")
    assert caught.value.message == "key [key] is no good"
    assert KEY not in repr(HttpCall(url="u", headers=HEADERS))


async def test_a_wait_that_an_error_asks_for_is_kept(exchange: HttpExchange, recorder: Recorder) -> None:
    recorder.answer("GET /v1", {"error": {"message": "slow down"}}, status=429, headers={"Retry-After": "12"})

    with pytest.raises(UpstreamError) as caught:
        await get(exchange, f"{recorder.url}/v1")

    assert (caught.value.retry_after, caught.value.retry_safe) == (12.0, True)


async def test_a_header_that_http_cannot_carry_is_refused_without_showing_it(
    exchange: HttpExchange, recorder: Recorder
) -> None:
    with pytest.raises(NoUpstreamAnswer) as caught:
        await exchange.send(account(recorder.url), HttpCall(url=recorder.url, headers={"x-api-key": f"{KEY}\nx: y"}))

    assert KEY not in str(caught.value)
    assert recorder.calls == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_another_host_is_followed_without_any_header_of_the_call(
    exchange: HttpExchange, recorder: Recorder, status: int
) -> None:
    elsewhere = recorder.url.replace("127.0.0.1", "localhost") + "/stored?sig=a%2Fb%2Bc"
    recorder.answer("GET /v1", b"", status=status, headers={"Location": elsewhere})
    recorder.answer("GET /stored?sig=a%2Fb%2Bc", b"content")

    assert await content(exchange, f"{recorder.url}/v1") == b"content"
    assert not recorder.calls[1].headers.keys() & HEADERS.keys()
    assert KEY not in str(recorder.calls[1].headers)


async def test_a_redirect_within_a_host_keeps_the_key(exchange: HttpExchange, recorder: Recorder) -> None:
    recorder.answer("GET /v1", b"", status=302, headers={"Location": "/v2"})
    recorder.answer("GET /v2", b"content")

    assert await get(exchange, f"{recorder.url}/v1") == b"content"
    assert recorder.calls[1].headers["x-api-key"] == KEY


async def test_the_key_does_not_come_back_after_a_second_redirect(exchange: HttpExchange, recorder: Recorder) -> None:
    elsewhere = recorder.url.replace("127.0.0.1", "localhost")
    recorder.answer("GET /v1", b"", status=302, headers={"Location": f"{elsewhere}/a"})
    recorder.answer("GET /a", b"", status=302, headers={"Location": f"{recorder.url}/b"})
    recorder.answer("GET /b", b"content")

    await get(exchange, f"{recorder.url}/v1")

    assert [KEY in str(call.headers) for call in recorder.calls] == [True, False, False]


async def test_redirects_in_a_circle_end(exchange: HttpExchange, recorder: Recorder) -> None:
    recorder.answer("GET /v1", b"", status=302, headers={"Location": "/v1"})

    with pytest.raises(NoUpstreamAnswer, match="redirects more than 5 times") as caught:
        await get(exchange, f"{recorder.url}/v1")

    assert not caught.value.retry_safe


async def test_a_redirect_to_something_else_than_http_is_refused(exchange: HttpExchange, recorder: Recorder) -> None:
    recorder.answer("GET /v1", b"", status=302, headers={"Location": "file:///etc/passwd?secret"})

    with pytest.raises(NoUpstreamAnswer, match="it redirects from http to file") as caught:
        await get(exchange, f"{recorder.url}/v1")

    assert "secret" not in caught.value.message


async def test_a_post_is_not_redirected(exchange: HttpExchange, recorder: Recorder) -> None:
    recorder.answer("POST /v1", b"", status=307, headers={"Location": "/v2"})

    with pytest.raises(UpstreamError) as caught:
        await exchange.send(
            account(recorder.url), HttpCall(method="POST", url=f"{recorder.url}/v1", headers=HEADERS, body=b"{}")
        )

    assert (caught.value.status, recorder.lines) == (307, ["POST /v1"])


async def test_an_answer_over_the_bound_is_given_up(exchange: HttpExchange, upstream: Upstream) -> None:
    async def flood(_request: web.Request) -> web.Response:
        body = gzip.compress(bytes(17 * 1024 * 1024))
        return web.Response(body=body, headers={"Content-Encoding": "gzip"})

    with pytest.raises(NoUpstreamAnswer, match="has more than 16777216 bytes") as caught:
        await get(exchange, await upstream(flood))

    assert not caught.value.retry_safe


async def test_a_long_error_is_read_in_part(exchange: HttpExchange, upstream: Upstream) -> None:
    async def flood(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(status=500)
        await answer.prepare(request)
        while True:
            await answer.write(b"a" * 65_536)

    with pytest.raises(UpstreamError, match="The provider returned 500: aaa"):
        await get(exchange, await upstream(flood))


@pytest.mark.parametrize("read", [get, content])
async def test_a_server_that_sends_nothing_is_given_up(
    exchange: HttpExchange, upstream: Upstream, read: object
) -> None:
    gone = asyncio.Event()

    async def hang(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await gone.wait()
        return answer

    assert callable(read)
    with pytest.raises(NoUpstreamAnswer, match=r"no complete response from .* within 0\.1 s") as caught:
        await read(exchange, await upstream(hang), 0.1)
    gone.set()

    assert (caught.value.kind, caught.value.retry_safe) == ("timeout_error", True)


async def test_a_server_that_stops_reading_an_upload_is_given_up(
    exchange: HttpExchange, wire_upstream: WireUpstream
) -> None:
    async def stop_reading(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.Event().wait()

    url = await wire_upstream(stop_reading)
    with pytest.raises(NoUpstreamAnswer, match="no complete response"):
        await exchange.send(account(url, 0.2), HttpCall(method="POST", url=url, headers=HEADERS, body=large()))


async def test_an_answer_that_comes_before_the_end_of_an_upload_is_read(
    exchange: HttpExchange, wire_upstream: WireUpstream
) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 9\r\n\r\ntoo large")
        while await reader.read(65_536):
            pass

    url = await wire_upstream(refuse)
    with pytest.raises(UpstreamError, match="The provider returned 413: too large") as caught:
        await exchange.send(account(url), HttpCall(method="POST", url=url, headers=HEADERS, body=large()))

    assert (caught.value.kind, caught.value.retry_safe) == ("request_too_large", False)


async def test_an_upload_may_take_longer_than_the_timeout_while_it_moves(
    exchange: HttpExchange, recorder: Recorder
) -> None:
    recorder.answer("POST /v1", b"{}")

    async def slow() -> AsyncIterator[bytes]:
        for _ in range(8):
            yield b"x"
            await asyncio.sleep(0.1)

    call = HttpCall(method="POST", url=f"{recorder.url}/v1", headers=HEADERS, body=slow())
    await exchange.send(account(recorder.url, timeout=0.5), call)

    assert recorder.calls[0].body == b"x" * 8


async def test_an_error_of_the_rows_passes_through_and_the_request_is_not_completed(
    exchange: HttpExchange, recorder: Recorder
) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * 100_000
        raise BlobError("the input is gone")

    call = HttpCall(method="POST", url=f"{recorder.url}/v1", headers=HEADERS, body=broken())
    with pytest.raises(BlobError, match="the input is gone"):
        await exchange.send(account(recorder.url), call)

    assert recorder.calls == []  # the server saw no end of the body


async def test_a_proxy_of_the_environment_counts_only_when_it_is_trusted(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{unused_port()}")
    recorder.answer("GET /v1", b"direct")

    async with HttpExchange() as direct:
        assert await get(direct, f"{recorder.url}/v1") == b"direct"
    async with HttpExchange(TransportSettings(trust_env=True)) as proxied:
        with pytest.raises(UpstreamUnreachable):
            await get(proxied, f"{recorder.url}/v1")


async def test_a_closed_exchange_says_how_to_use_it(recorder: Recorder) -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await get(HttpExchange(), recorder.url)
