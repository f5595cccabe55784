"""Valid and invalid behaviour of providers on the wire, with both transports."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import zlib
from asyncio import StreamReader, StreamWriter

import msgspec
import pytest

from batchgate.engine.model.errors import UpstreamUnreachable
from batchgate.engine.model.provider_call import UpstreamResponse
from batchgate.providers.transport.proxy_transport import TransportSettings
from tests.unit.providers.transports import Kind, Opened, RawUpstream, WireUpstream, call, failure

OK = b"HTTP/1.1 200 OK\r\n"
REQUEST = b"\r\n\r\n{}"


def whole(body: bytes, *headers: bytes) -> bytes:
    """Write an answer whose length is said."""
    return OK + b"".join(header + b"\r\n" for header in headers) + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


async def turns() -> None:
    """Let the event loop carry what is on its way over loopback."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" + whole(b"abc", b"X-Kind: a"),
        OK + b"X-Kind: a\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\na\r\n2\r\nbc\r\n0\r\nX-Kind: trailer\r\n\r\n",
        OK + b"X-Kind: a\r\n\r\nabc",
        b"HTTP/1.0 200 OK\r\nX-Kind: a\r\n\r\nabc",
        OK.replace(b"\r\n", b"\n") + b"X-Kind: a\nContent-Length: 3\n\nabc",
        whole(b"abc", b"x-kind: b", b"X-KIND:   a  "),
    ],
    ids=["after others", "chunks and trailers", "until the end", "HTTP/1.0", "bare line feeds", "the last of two"],
)
async def test_every_way_to_write_an_answer_is_understood(
    raw_upstream: RawUpstream, transport: Opened, reply: bytes
) -> None:
    answer = await transport.send(call(await raw_upstream(reply)))

    assert (answer.status, answer.body, answer.headers["x-kind"]) == (200, b"abc", "a")
    assert "link" not in answer.headers


async def test_an_answer_arrives_whole_however_it_is_cut(wire_upstream: WireUpstream, transport: Opened) -> None:
    reply = OK + b"Transfer-Encoding: chunked\r\nX-Long: " + b"v" * 100 + b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n"

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        await reader.readuntil(REQUEST)
        for byte in reply:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)
        await reader.read()

    answer = await transport.send(call(await wire_upstream(serve)))

    assert (answer.body, answer.headers["x-long"]) == (b"abc", "v" * 100)


async def test_a_header_of_any_bytes_becomes_text(raw_upstream: RawUpstream, transport: Opened) -> None:
    url = await raw_upstream(whole(b"", b"X-Good: \xc3\xa9", b"X-Odd: \xff"))

    answer = await transport.send(call(url))

    assert (answer.headers["x-good"], answer.headers["x-odd"]) == ("é", "\N{REPLACEMENT CHARACTER}")


@pytest.mark.parametrize("window", [zlib.MAX_WBITS, -zlib.MAX_WBITS], ids=["zlib", "raw"])
async def test_both_kinds_of_deflate_are_decoded(raw_upstream: RawUpstream, transport: Opened, window: int) -> None:
    deflate = zlib.compressobj(wbits=window)
    body = deflate.compress(b"plain") + deflate.flush()

    answer = await transport.send(call(await raw_upstream(whole(body, b"Content-Encoding: deflate"))))

    assert answer.body == b"plain"


async def test_a_compression_in_name_only_leaves_the_body_alone(raw_upstream: RawUpstream, transport: Opened) -> None:
    answer = await transport.send(call(await raw_upstream(whole(b"plain", b"Content-Encoding: UTF-8"))))

    assert answer.body == b"plain"


@pytest.mark.parametrize("answers", [b"", b"0\r\n\r\n"], ids=["in the body", "before the answer"])
async def test_a_reset_is_named(wire_upstream: WireUpstream, transport: Opened, answers: bytes) -> None:
    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        await reader.readuntil(REQUEST)
        if not answers:
            writer.write(OK + b"Content-Length: 9\r\n\r\nabc")
            await writer.drain()
            await turns()  # the head must have been read before the reset throws it away
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    url = await wire_upstream(serve)
    error = await failure(transport, call(url))

    reason = "Connection reset by peer" if answers else "the response ended early or cannot be decoded"
    assert (error.message, error.retry_safe) == (f"the call to {url.split('/')[2]} failed: {reason}", True)
    assert not isinstance(error, UpstreamUnreachable)


async def test_an_endless_head_is_given_up(wire_upstream: WireUpstream, transport: Opened) -> None:
    hung_up = asyncio.Event()

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        await reader.readuntil(REQUEST)
        writer.write(OK)
        try:
            while True:
                writer.write(b"X-Flood: " + b"a" * 1000 + b"\r\n")
                await writer.drain()
        finally:
            hung_up.set()

    error = await failure(transport, call(await wire_upstream(serve)))
    await asyncio.wait_for(hung_up.wait(), 10)

    assert "the response is not valid HTTP" in error.message


@pytest.mark.parametrize("length", [2, 20_000_000], ids=["small", "large"])
async def test_an_answer_that_does_not_wait_for_the_body_counts(
    wire_upstream: WireUpstream, transport: Opened, length: int
) -> None:
    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(whole(b"too large").replace(b"200 OK", b"413 No"))
        await writer.drain()
        await asyncio.Event().wait()

    request = msgspec.structs.replace(call(await wire_upstream(serve)), body=b" " * length)

    assert (await transport.send(request)).status == 413


@pytest.mark.parametrize(
    "reply",
    [whole(b"first", b"Connection: close"), whole(b"first").replace(b"HTTP/1.1", b"HTTP/1.0"), whole(b"first")],
    ids=["told", "HTTP/1.0", "silently"],
)
async def test_a_connection_that_the_provider_ends_is_not_used_again(
    wire_upstream: WireUpstream, transport: Opened, reply: bytes
) -> None:
    connections = 0

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await reader.readuntil(REQUEST)
        writer.write(reply)
        await writer.drain()

    url = await wire_upstream(serve)
    for number in range(1, 4):
        assert (await transport.send(call(url))).body == b"first"
        await turns()  # the end of a silent connection arrives
        assert connections == number


async def test_a_call_that_meets_the_end_of_its_connection_was_perhaps_served_and_is_not_sent_again(
    wire_upstream: WireUpstream, transport: Opened
) -> None:
    asked = 0

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        nonlocal asked
        for _ in range(2):
            await reader.readuntil(REQUEST)
            asked += 1
            if asked == 1:
                writer.write(whole(b"first"))

    url = await wire_upstream(serve)
    await transport.send(call(url))
    error = await failure(transport, call(url))

    assert (error.message, asked) == (
        f"the call to {url.split('/')[2]} failed: the server closed the connection before it responded",
        2,
    )
    assert error.retry_safe


async def test_an_unused_connection_is_closed_after_a_while(kind: Kind, wire_upstream: WireUpstream) -> None:
    ended = asyncio.Event()

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        await reader.readuntil(REQUEST)
        writer.write(whole(b"first"))
        assert await reader.read() == b""
        ended.set()

    async with kind(TransportSettings(idle_timeout=0.02)) as transport:
        await transport.send(call(await wire_upstream(serve)))
        await asyncio.wait_for(ended.wait(), 10)


@pytest.mark.parametrize("tail", [whole(b"forged"), whole(b"forged")[:30], b"H"], ids=["all", "part", "a byte"])
async def test_what_follows_an_answer_reaches_no_other_call(
    wire_upstream: WireUpstream, transport: Opened, tail: bytes
) -> None:
    numbers = iter(range(100))

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        while True:
            await reader.readuntil(REQUEST)
            writer.write(whole(b"%d" % next(numbers)) + tail)

    url = await wire_upstream(serve)

    assert [(await transport.send(call(url))).body for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]


async def test_a_provider_that_accepts_and_never_responds_is_down(kind: Kind, wire_upstream: WireUpstream) -> None:
    async def serve(reader: StreamReader, _writer: StreamWriter) -> None:
        await reader.read()

    url = (await wire_upstream(serve)).replace("http:", "https:")
    async with kind(TransportSettings(connect_timeout=0.05)) as transport:
        slow = await failure(transport, call(url))
        hasty = await failure(transport, call(url, timeout=0.04))

    host = url.split("/")[2]
    assert (slow.message, slow.kind) == (f"cannot connect to {host}: timed out", "timeout_error")
    assert isinstance(slow, UpstreamUnreachable)
    assert hasty.message == f"no complete response from {host} within 0.04 s"


@pytest.mark.parametrize("seed", range(3))
async def test_canceled_calls_leave_no_answer_to_others(
    wire_upstream: WireUpstream, transport: Opened, seed: int
) -> None:
    chance = random.Random(seed)

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            body = await reader.readexactly(length)
            if chance.random() < 0.5:
                await asyncio.sleep(chance.random() / 100)
            reply = whole(body)
            cut = chance.randrange(len(reply))
            writer.write(reply[:cut])
            if chance.random() < 0.3:
                await asyncio.sleep(chance.random() / 200)
            writer.write(reply[cut:])
            await writer.drain()

    url = await wire_upstream(serve)

    async def one(number: int) -> bool:
        body = b"%d:" % number + b"x" * chance.choice((1, 100, 10_000, 300_000, 1_500_000))
        request = msgspec.structs.replace(call(url), body=body)
        sending: asyncio.Task[UpstreamResponse] = asyncio.create_task(transport.send(request))
        if chance.random() < 0.4:
            await asyncio.sleep(chance.random() / 50)
            sending.cancel()
        try:
            answer = await sending
        except asyncio.CancelledError:
            return False
        assert answer.body == body, f"{answer.body[:20]!r} for {body[:20]!r}"
        return True

    answered = 0
    for round_ in range(6):
        answered += sum(await asyncio.gather(*(one(round_ * 60 + number) for number in range(60))))

    assert 0 < answered < 360
