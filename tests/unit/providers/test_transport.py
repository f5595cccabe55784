"""Responses and errors of calls with both transports, against real sockets on loopback."""

from __future__ import annotations

import asyncio
import gzip

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port

from batchgate.engine.model.errors import UpstreamUnreachable
from batchgate.engine.model.provider_call import UpstreamResponse
from batchgate.providers.transport.network_transport import NetworkTransport
from batchgate.providers.transport.proxy_transport import TransportSettings
from tests.unit.providers.transports import KEY, Kind, Opened, RawUpstream, Upstream, call, failure


async def test_a_call_carries_body_and_headers_and_brings_back_the_answer(
    upstream: Upstream, transport: Opened
) -> None:
    async def echo(request: web.Request) -> web.Response:
        said = f"{request.method} {request.headers['X-Api-Key']} {await request.text()}"
        return web.Response(text=said, headers={"Request-Id": "req_1"})

    answer = await transport.send(call(await upstream(echo)))

    assert (answer.status, answer.body) == (200, f"POST {KEY} {{}}".encode())
    assert answer.headers["request-id"] == "req_1"
    assert all(name == name.lower() for name in answer.headers)


async def test_a_large_body_arrives_whole(upstream: Upstream, transport: Opened) -> None:
    body = b"image" * 1_000_000

    async def compare(request: web.Request) -> web.Response:
        received = b"".join([block async for block in request.content.iter_any()])
        return web.Response(text=f"{request.content_length} {received == body}")

    request = msgspec.structs.replace(call(await upstream(compare)), body=body)

    assert (await transport.send(request)).body == b"5000000 True"


@pytest.mark.parametrize("status", [400, 429, 500, 529])
async def test_an_error_status_is_an_answer_like_any_other(upstream: Upstream, transport: Opened, status: int) -> None:
    async def refuse(_request: web.Request) -> web.Response:
        return web.Response(status=status, body=b"no", headers={"Retry-After": "3"})

    answer = await transport.send(call(await upstream(refuse)))

    assert (answer.status, answer.headers["retry-after"], answer.body) == (status, "3", b"no")


async def test_a_compressed_answer_arrives_decompressed(upstream: Upstream, transport: Opened) -> None:
    async def compressed(_request: web.Request) -> web.Response:
        return web.Response(body=gzip.compress(b"plain"), headers={"Content-Encoding": "gzip"})

    answer = await transport.send(call(await upstream(compressed)))

    assert answer.body == b"plain"


async def test_calls_one_after_another_use_one_connection(upstream: Upstream, transport: Opened) -> None:
    async def who_asks(request: web.Request) -> web.Response:
        assert request.transport is not None
        return web.Response(text=str(request.transport.get_extra_info("peername")))

    url = await upstream(who_asks)
    answers = [await transport.send(call(url)) for _ in range(3)]

    assert len({answer.body for answer in answers}) == 1


async def test_any_number_of_calls_may_be_in_flight(upstream: Upstream, transport: Opened) -> None:
    number = 150
    barrier = asyncio.Barrier(number)

    async def wait_for_all(_request: web.Request) -> web.Response:
        await barrier.wait()
        return web.Response()

    request = call(await upstream(wait_for_all), timeout=60.0)
    answers = await asyncio.gather(*(transport.send(request) for _ in range(number)))

    assert [answer.status for answer in answers] == [200] * number


async def test_a_redirect_is_handed_back_and_not_followed(upstream: Upstream, transport: Opened) -> None:
    async def move(request: web.Request) -> web.Response:
        if request.path == "/elsewhere":
            return web.Response()
        raise web.HTTPTemporaryRedirect("/elsewhere")

    answer = await transport.send(call(await upstream(move)))

    assert (answer.status, answer.headers["location"]) == (307, "/elsewhere")


async def test_cookies_of_an_answer_are_not_sent_back(upstream: Upstream, transport: Opened) -> None:
    async def offer_a_cookie(request: web.Request) -> web.Response:
        answer = web.Response(text=request.headers.get("cookie", "none"))
        answer.set_cookie("session", "1")
        return answer

    # Cookies of bare IP addresses are never kept; a name makes the test mean something.
    url = (await upstream(offer_a_cookie)).replace("127.0.0.1", "localhost")
    answers = [await transport.send(call(url)) for _ in range(2)]

    assert [answer.body for answer in answers] == [b"none", b"none"]


async def test_a_proxy_of_the_environment_counts_only_when_it_is_trusted(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def greet(_request: web.Request) -> web.Response:
        return web.Response(body=b"direct")

    for name in ("NO_PROXY", "no_proxy", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{unused_port()}")
    request = call(await upstream(greet))

    async with NetworkTransport() as direct:
        assert (await direct.send(request)).body == b"direct"
    async with NetworkTransport(TransportSettings(trust_env=True)) as proxied:
        assert "cannot connect" in str(await failure(proxied, request))


async def test_an_answer_that_takes_too_long_is_a_timeout_that_may_be_asked_again(
    upstream: Upstream, transport: Opened
) -> None:
    async def hang(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await gone.wait()
        return answer

    gone = asyncio.Event()
    url = await upstream(hang)
    error = await failure(transport, call(url, timeout=0.05))
    gone.set()

    assert (error.kind, error.retry_safe) == ("timeout_error", True)
    assert error.message == f"no complete response from {url.split('/')[2]} within 0.05 s"
    assert not isinstance(error, UpstreamUnreachable)


async def test_a_refused_connection_is_reported_and_can_be_retried(transport: Opened) -> None:
    port = unused_port()

    error = await failure(transport, call(f"http://127.0.0.1:{port}/v1/messages"))

    assert (error.kind, error.retry_safe) == ("api_error", True)
    assert error.message == f"cannot connect to 127.0.0.1:{port}: Connection refused"
    assert isinstance(error, UpstreamUnreachable)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (b"", "the server closed the connection before it responded"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "the response is not valid HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "the response ended early or cannot be decoded"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
            "the response ended early or cannot be decoded",
        ),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "the response is not valid HTTP"),
    ],
    ids=["nothing", "another protocol", "truncated", "not gzip", "bad chunk"],
)
async def test_an_invalid_response_is_reported_with_the_reason_and_can_be_retried(
    raw_upstream: RawUpstream, transport: Opened, reply: bytes, reason: str
) -> None:
    url = await raw_upstream(reply)

    error = await failure(transport, call(url))

    assert (error.kind, error.retry_safe) == ("api_error", True)
    assert error.message == f"the call to {url.split('/')[2]} failed: {reason}"


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_an_answer_over_the_bound_is_given_up_whatever_its_size_on_the_wire(
    kind: Kind, upstream: Upstream, encoding: str
) -> None:
    body = b"a" * 1_000_001

    async def flood(_request: web.Request) -> web.Response:
        sent = gzip.compress(body) if encoding == "gzip" else body
        return web.Response(body=sent, headers={"Content-Encoding": encoding})

    url = await upstream(flood)
    async with kind(TransportSettings(max_response_bytes=1_000_000)) as bounded:
        error = await failure(bounded, call(url))
    async with kind(TransportSettings(max_response_bytes=1_000_001)) as roomy:
        answer = await roomy.send(call(url))

    assert (error.kind, error.retry_safe) == ("api_error", False)
    assert error.message == f"the response of {url.split('/')[2]} has more than 1000000 bytes"
    assert answer.body == body


async def test_an_answer_without_an_end_is_given_up_at_the_bound(kind: Kind, upstream: Upstream) -> None:
    hung_up = asyncio.Event()

    async def never_stop(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        try:
            while True:
                await answer.write(b"a" * 65_536)
        finally:
            hung_up.set()

    async with kind(TransportSettings(max_response_bytes=200_000)) as bounded:
        await failure(bounded, call(await upstream(never_stop)))
        await asyncio.wait_for(hung_up.wait(), 10)


@pytest.mark.parametrize("url", ["ftp://provider/v1", "http://provider:99999/v1", "http://[provider/v1", "/v1"])
async def test_a_url_that_cannot_be_called_is_not_tried_again(transport: Opened, url: str) -> None:
    error = await failure(transport, call(url))

    assert (error.message, error.retry_safe) == ("the URL of the provider is not valid", False)


async def test_a_header_that_http_cannot_carry_is_refused_without_showing_it(transport: Opened) -> None:
    port = unused_port()

    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port):
        request = call(f"http://127.0.0.1:{port}/v1", headers={"x-api-key": f"{KEY}\nhost: evil"})
        error = await failure(transport, request)

    assert error.message == f"the call to 127.0.0.1:{port} has a header that is not valid in HTTP"
    assert not error.retry_safe


async def test_credentials_in_a_url_are_in_no_message(transport: Opened) -> None:
    port = unused_port()

    error = await failure(transport, call(f"http://{KEY}:{KEY}@127.0.0.1:{port}/v1?key={KEY}"))

    assert error.message.startswith(f"cannot connect to 127.0.0.1:{port}:")


async def test_a_canceled_call_hangs_up(transport: Opened) -> None:
    asked, hung_up = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n{}")
        asked.set()
        await reader.read()
        hung_up.set()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/messages"
        sending: asyncio.Task[UpstreamResponse] = asyncio.create_task(transport.send(call(url)))
        await asyncio.wait_for(asked.wait(), 10)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await asyncio.wait_for(hung_up.wait(), 10)


async def test_a_transport_that_is_not_open_raises_an_error_with_instructions(kind: Kind) -> None:
    closed = kind()

    with pytest.raises(RuntimeError, match="async with"):
        await closed.send(call("http://127.0.0.1:1/v1/messages"))
