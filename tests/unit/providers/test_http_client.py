"""Behaviour of `HttpTransport` that aiohttp lacks, or that is visible only on the wire."""

from __future__ import annotations

import asyncio
import gzip
import random
import ssl
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp.test_utils import unused_port

from batchgate.engine.model.errors import UpstreamUnreachable
from batchgate.engine.model.provider_call import UpstreamRequest
from batchgate.providers.transport.http_client import HttpTransport
from batchgate.providers.transport.network_transport import NetworkTransport
from batchgate.providers.transport.proxy_transport import TransportSettings
from tests.unit.providers.transports import KEY, RawUpstream, WireUpstream, call, failure

CERTIFICATE = Path(__file__).parent / "localhost.pem"
REQUEST = b"\r\n\r\n{}"
OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
async def transport() -> AsyncIterator[HttpTransport]:
    """Open a transport with default settings."""
    async with HttpTransport() as opened:
        yield opened


def whole(body: bytes, *headers: bytes) -> bytes:
    """Write an answer whose length is said."""
    return OK + b"".join(header + b"\r\n" for header in headers) + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


async def echo_head(reader: StreamReader, writer: StreamWriter) -> None:
    """Answer with the head of the request."""
    writer.write(whole(await reader.readuntil(b"\r\n\r\n")))


async def test_a_request_is_written_as_http_asks_for_it(wire_upstream: WireUpstream, transport: HttpTransport) -> None:
    url = await wire_upstream(echo_head)
    host = url.split("/")[2]
    asked = url.replace("http://", "http://me:pass@").replace("/v1/messages", "/v1/ä b?q=100%25&r=%s#part")

    head = (await transport.send(UpstreamRequest(url=asked, headers={"X-Key": "é%"}, body=b"12345", timeout=9))).body

    assert head.decode().split("\r\n") == [
        "POST /v1/%C3%A4%20b?q=100%25&r=%25s HTTP/1.1",
        f"host: {host}",
        "user-agent: batchgate",
        "accept: */*",
        "accept-encoding: gzip, deflate",
        "authorization: Basic bWU6cGFzcw==",
        "X-Key: é%",
        "content-length: 5",
        "",
        "",
    ]


async def test_a_header_that_the_transport_writes_may_be_chosen(
    wire_upstream: WireUpstream, transport: HttpTransport
) -> None:
    request = call(await wire_upstream(echo_head), headers={"User-Agent": "mine", "Host": "other"})

    head = (await transport.send(request)).body.lower()

    assert (head.count(b"user-agent: mine"), head.count(b"host: other")) == (1, 1)
    assert (head.count(b"user-agent"), head.count(b"host")) == (1, 1)


@pytest.mark.parametrize(
    "headers",
    [
        {"x": "a\rb"},
        {"x": "a\nb"},
        {"x": "a\0b"},
        {"x": "a\x1bb"},
        {"x": "\udcff"},
        {"x\r\ny": "a"},
        {"x y": "a"},
        {"": "a"},
        {"ä": "a"},
        {"X-Api-Key": "a"},
        {"Content-Length": "1"},
        {"transfer-encoding": "chunked"},
    ],
)
async def test_a_header_that_could_change_the_message_is_refused_before_anything_is_sent(
    transport: HttpTransport, headers: dict[str, str]
) -> None:
    error = await failure(transport, call(f"http://127.0.0.1:{unused_port()}/v1", headers=headers))

    assert "has a header that is not valid in HTTP" in error.message
    assert KEY not in repr(error.__cause__)


async def test_credentials_in_a_url_and_in_a_header_are_one_too_many(transport: HttpTransport) -> None:
    request = call(f"http://a:b@127.0.0.1:{unused_port()}/", headers={"Authorization": "c"})

    assert "has a header that is not valid in HTTP" in (await failure(transport, request)).message


@pytest.mark.parametrize("tail", [b"1", b"HTTP/1.1 200 OK\r\n", b"\r\n"], ids=["a byte", "an answer", "a line"])
async def test_what_comes_on_an_unused_connection_ends_it(
    wire_upstream: WireUpstream, transport: HttpTransport, tail: bytes
) -> None:
    hung_up = asyncio.Event()

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        await reader.readuntil(REQUEST)
        writer.write(whole(b"first"))
        if not hung_up.is_set():
            await answered.wait()
            writer.write(tail)
            await reader.read()
            hung_up.set()

    answered = asyncio.Event()
    url = await wire_upstream(serve)
    await transport.send(call(url))
    answered.set()
    await asyncio.wait_for(hung_up.wait(), 10)

    assert (await transport.send(call(url))).body == b"first"


@pytest.mark.parametrize(
    ("start", "flood"),
    [
        (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
        (OK + b"X-Endless: ", b"aaaaaaaaaaaaaaaa"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n", b"X-Trailer: aaaa\r\n"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n1;", b"extension"),
    ],
    ids=["informational answers", "one header", "trailers", "an extension"],
)
async def test_what_is_not_the_body_is_bounded(
    wire_upstream: WireUpstream, transport: HttpTransport, start: bytes, flood: bytes
) -> None:
    hung_up = asyncio.Event()

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        await reader.readuntil(REQUEST)
        writer.write(start)
        try:
            while True:
                writer.write(flood * 100)
                await writer.drain()
        finally:
            hung_up.set()

    error = await failure(transport, call(await wire_upstream(serve)))
    await asyncio.wait_for(hung_up.wait(), 10)

    assert "the response is not valid HTTP" in error.message


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"Content-Length: 3\r\nContent-Length: 2\r\n\r\nabc",
        OK + b"X: a\0b\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=["another protocol", "two ways to end", "two lengths", "NUL"],
)
async def test_an_answer_in_doubt_is_not_http(
    raw_upstream: RawUpstream, transport: HttpTransport, reply: bytes
) -> None:
    assert "the response is not valid HTTP" in (await failure(transport, call(await raw_upstream(reply)))).message


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        (b"gzip", gzip.compress(b"plain")[:-1]),
        (b"gzip", gzip.compress(b"plain") + b"more"),
        (b"gzip", gzip.compress(random.Random(0).randbytes(50_000))[:-1]),
        (b"br", b"plain"),
    ],
    ids=["cut off", "with more after it", "large and cut off", "not asked for"],
)
async def test_a_body_that_cannot_be_decoded_is_an_error(
    raw_upstream: RawUpstream, transport: HttpTransport, coding: bytes, body: bytes
) -> None:
    url = await raw_upstream(whole(body, b"Content-Encoding: " + coding))

    assert "the response ended early or cannot be decoded" in (await failure(transport, call(url))).message


async def test_a_large_compressed_answer_is_decoded_and_none_at_all_is_no_error(
    raw_upstream: RawUpstream, transport: HttpTransport
) -> None:
    body = random.Random(0).randbytes(500_000)
    coding = b"Content-Encoding: gzip"

    large = await transport.send(call(await raw_upstream(whole(gzip.compress(body), coding))))
    empty = await transport.send(call(await raw_upstream(whole(b"", coding))))

    assert (large.body, empty.body) == (body, b"")


async def test_an_answer_before_the_end_of_the_body_ends_the_connection(
    wire_upstream: WireUpstream, transport: HttpTransport
) -> None:
    hung_up = asyncio.Event()

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(whole(b"enough"))
        await answered.wait()
        try:
            while await reader.read(1_000_000):
                pass
        finally:
            hung_up.set()

    answered = asyncio.Event()
    request = msgspec.structs.replace(call(await wire_upstream(serve)), body=b" " * 20_000_000)
    assert (await transport.send(request)).body == b"enough"
    answered.set()

    await asyncio.wait_for(hung_up.wait(), 10)


async def test_the_timer_of_a_connection_knows_the_call_that_it_is_for(
    wire_upstream: WireUpstream, transport: HttpTransport
) -> None:
    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        for delay in (0.0, 0.4, 0.0, 60.0):
            await reader.readuntil(REQUEST)
            await asyncio.sleep(delay)
            writer.write(whole(b"here"))

    url = await wire_upstream(serve)
    answers = [(await transport.send(call(url, timeout=seconds))).body for seconds in (0.3, 10.0, 100.0)]
    error = await failure(transport, call(url, timeout=0.03))

    assert answers == [b"here"] * 3
    assert error.message.endswith("within 0.03 s")


async def test_leaving_the_transport_closes_its_connections(wire_upstream: WireUpstream) -> None:
    hung_up = asyncio.Event()

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        await reader.readuntil(REQUEST)
        writer.write(whole(b""))
        await reader.read()
        hung_up.set()

    async with HttpTransport() as transport:
        await transport.send(call(await wire_upstream(serve)))
        assert not hung_up.is_set()
    await asyncio.wait_for(hung_up.wait(), 10)


@pytest.mark.parametrize(
    ("host", "reason"),
    [("localhost", "Connection refused"), ("[::1]", ""), ("a" * 64 + ".example", "the host name cannot be resolved")],
)
async def test_the_reason_of_a_failed_connection_is_reported(transport: HttpTransport, host: str, reason: str) -> None:
    authority = f"{host}:{unused_port()}"

    error = await failure(transport, call(f"http://{authority}/v1"))

    assert error.message.startswith(f"cannot connect to {authority}: {reason}")
    assert isinstance(error, UpstreamUnreachable)


async def test_many_connections_need_one_lookup(
    wire_upstream: WireUpstream, transport: HttpTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    lookups: list[object] = []
    look_up = loop.getaddrinfo

    async def counted(*args: Any, **options: Any) -> Any:
        lookups.append(args)
        return await look_up(*args, **options)

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        await reader.readuntil(REQUEST)
        await together.wait()
        writer.write(whole(b""))

    together = asyncio.Barrier(20)
    monkeypatch.setattr(loop, "getaddrinfo", counted)
    request = call((await wire_upstream(serve)).replace("127.0.0.1", "localhost"))
    lookups.clear()  # the server's own
    await asyncio.gather(*(transport.send(request) for _ in range(20)))

    assert len(lookups) == 1


async def secure_upstream() -> asyncio.Server:
    """Serve over TLS, with a certificate that only who knows it trusts."""

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        chosen = writer.get_extra_info("ssl_object").selected_alpn_protocol()
        for size in (10, 3_000_000):
            await reader.readuntil(REQUEST)
            writer.write(whole(b"s" * size, b"X-Chosen: " + chosen.encode()))
            await writer.drain()
        writer.close()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)


async def test_a_trusted_certificate_lets_a_call_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    async with await secure_upstream() as server, HttpTransport() as transport:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        small, large = await transport.send(call(url)), await transport.send(call(url))

    assert (len(small.body), large.body) == (10, b"s" * 3_000_000)
    assert small.headers["x-chosen"] == "http/1.1"


async def test_a_certificate_that_is_not_trusted_lets_nothing_through(transport: HttpTransport) -> None:
    async with await secure_upstream() as server:
        port = server.sockets[0].getsockname()[1]
        error = await failure(transport, call(f"https://127.0.0.1:{port}/v1"))

    assert error.message.startswith(f"cannot connect to 127.0.0.1:{port}: its certificate is not trusted (")
    assert isinstance(error, UpstreamUnreachable)


async def test_a_server_without_tls_fails_the_handshake(wire_upstream: WireUpstream, transport: HttpTransport) -> None:
    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    error = await failure(transport, call((await wire_upstream(serve)).replace("http:", "https:")))

    assert error.message.endswith(": the TLS handshake failed")


async def test_only_urls_that_a_trusted_proxy_serves_go_through_it(
    wire_upstream: WireUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def proxy(reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(whole((await reader.readuntil(REQUEST)).split(b"\r\n")[0]))

    url, elsewhere = await wire_upstream(echo_head), "http://provider.example/v1"
    for name in ("NO_PROXY", "NETRC", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", (await wire_upstream(proxy)).removesuffix("/v1/messages"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")

    async with NetworkTransport(TransportSettings(trust_env=True)) as transport:
        direct, proxied = await transport.send(call(url)), await transport.send(call(elsewhere))

    assert direct.body.startswith(b"POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1")
    assert proxied.body == b"POST http://provider.example/v1 HTTP/1.1"
