"""Bodies of a create that are too large, cannot be decoded, are cut off or stall: refused, with nothing stored."""

import gzip
import sys
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Protocol

import aiohttp
import psutil
import pytest

from batchgate.api import create_body, request_body
from batchgate.api.create_body import MAX_BODY, MAX_REQUEST
from tests.support.error_responses import JSON, assert_nothing_stored, check_anthropic_error, expect_create_error
from tests.support.gateway_process import GatewayProcess
from tests.support.raw_http import raw_connection, request_head
from tests.support.running_app import BATCHES, RunningApp, running_app

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdCompressor
else:
    from backports.zstd import ZstdCompressor

MB = 1024 * 1024
SMALL = b'{"requests":[{"custom_id":"a","params":{}}]}'
TOO_LARGE = (413, "request_too_large")
CREATE = f"POST {BATCHES}"


class Compressor(Protocol):
    """The common interface of zlib and zstd compressors."""

    def compress(self, data: bytes, /) -> bytes:
        """Compress bytes and return the output that is ready."""
        ...

    def flush(self) -> bytes:
        """Return the rest of the output."""
        ...


COMPRESSED = pytest.mark.parametrize(
    ("encoding", "new"),
    [
        pytest.param("gzip", lambda: zlib.compressobj(1, wbits=31), id="gzip"),
        pytest.param("deflate", lambda: zlib.compressobj(1), id="deflate"),
        pytest.param("deflate", lambda: zlib.compressobj(1, wbits=-15), id="raw deflate"),
        pytest.param("zstd", lambda: ZstdCompressor(1), id="zstd"),
    ],
)
NewCompressor = Callable[[], Compressor]


def large_body(size: int) -> Iterator[bytes]:
    """Yield a valid body larger than ``size`` bytes, one request of a megabyte at a time."""
    yield b'{"requests":['
    text = b"a" * MB
    for number in range(size // MB + 1):
        yield b'{"custom_id":"r%d","params":{"x":"%b"}},' % (number, text)
    yield b'{"custom_id":"last","params":{}}]}'


async def stream(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def compress(pieces: Iterator[bytes], compressor: Compressor) -> AsyncIterator[bytes]:
    for piece in pieces:
        if packed := compressor.compress(piece):
            yield packed
    yield compressor.flush()


async def test_a_body_with_a_too_large_content_length_is_refused_before_it_is_read(gateway: RunningApp) -> None:
    async with raw_connection(gateway.url) as connection:
        await connection.send(request_head(CREATE, "Content-Type: application/json", f"Content-Length: {MAX_BODY + 1}"))
        answer = await connection.read_response()
    message = check_anthropic_error(answer.status, answer.headers, answer.body, expected=TOO_LARGE)
    assert message == f"the body may have at most {MAX_BODY} bytes"
    await assert_nothing_stored(gateway)


async def test_a_body_of_undeclared_length_is_refused_once_it_is_too_large(gateway: RunningApp) -> None:
    message = await expect_create_error(gateway, stream(large_body(MAX_BODY)), expected=TOO_LARGE)
    assert message == f"the body may have at most {MAX_BODY} bytes"


@COMPRESSED
async def test_a_body_that_is_too_large_only_once_decoded_is_refused(
    gateway: RunningApp, encoding: str, new: NewCompressor, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = MAX_BODY if encoding == "gzip" else 8 * MB  # the full limit is tested once
    monkeypatch.setattr(create_body, "MAX_BODY", limit)
    message = await expect_create_error(
        gateway,
        compress(large_body(limit), new()),
        encoding=encoding,
        expected=TOO_LARGE,
        code="request_body_too_large_after_decoding",
    )
    assert message == f"the body may have at most {limit} bytes after decoding"


@COMPRESSED
async def test_a_compressed_body_is_accepted(gateway: RunningApp, encoding: str, new: NewCompressor) -> None:
    headers = JSON | {"Content-Encoding": encoding}
    body = compress(large_body(3 * MB), new())
    status, batch = await gateway.call("POST", BATCHES, data=body, headers=headers)
    assert status == 200, batch
    results = await gateway.results((await gateway.ended(batch["id"]))["id"])
    assert [line["custom_id"] for line in results] == ["r0", "r1", "r2", "r3", "last"]


@COMPRESSED
async def test_a_compressed_body_that_ends_too_early_is_refused(
    gateway: RunningApp, encoding: str, new: NewCompressor
) -> None:
    compressor = new()
    body = compressor.compress(SMALL) + compressor.flush()
    message = await expect_create_error(gateway, body[:-1], encoding=encoding, code="request_body_encoding_invalid")
    assert message == f"Content-Encoding: the body cannot be decoded as {encoding}: it ends too early"


@COMPRESSED
async def test_a_plain_body_that_is_declared_as_compressed_is_refused(
    gateway: RunningApp,
    encoding: str,
    new: NewCompressor,  # noqa: ARG001
) -> None:
    message = await expect_create_error(gateway, SMALL, encoding=encoding, code="request_body_encoding_invalid")
    assert message.startswith(f"Content-Encoding: the body cannot be decoded as {encoding}: ")


async def test_a_gzip_body_with_a_wrong_checksum_is_refused(gateway: RunningApp) -> None:
    body = bytearray(gzip.compress(SMALL))
    body[-5] ^= 1
    message = await expect_create_error(gateway, bytes(body), encoding="gzip", code="request_body_encoding_invalid")
    assert "incorrect data check" in message


@pytest.mark.parametrize("encoding", ["br", "compress", "gzip, gzip", "x"])
async def test_the_error_for_an_unknown_encoding_lists_the_supported_ones(gateway: RunningApp, encoding: str) -> None:
    message = await expect_create_error(gateway, SMALL, encoding=encoding, code="request_body_encoding_unsupported")
    assert message.startswith(f"Content-Encoding: {encoding!r} is not supported")
    assert message.endswith("gzip, deflate, zstd")


MEGABYTE_OF_TEXT, MEGABYTE_OF_ZEROS = (gzip.compress(byte * MB) for byte in (b"a", b"\0"))


def bomb_of_one_request() -> Iterator[bytes]:
    yield gzip.compress(b'{"requests":[{"custom_id":"a","params":{"x":"')
    yield from [MEGABYTE_OF_TEXT] * 1024


def bomb_of_requests() -> Iterator[bytes]:
    yield gzip.compress(b'{"requests":[')
    for number in range(1024):
        yield gzip.compress(b'{"custom_id":"%d","params":{"x":"' % number)
        yield MEGABYTE_OF_TEXT + gzip.compress(b'"}},')


def bomb_of_zeros() -> Iterator[bytes]:
    yield from [MEGABYTE_OF_ZEROS] * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="the highest memory of another process is read from /proc")
@pytest.mark.parametrize(
    ("bomb", "status", "growth"),
    [
        pytest.param(bomb_of_zeros, 400, 16 * MB, id="zeros"),
        pytest.param(bomb_of_requests, 413, 64 * MB, id="requests"),
        pytest.param(bomb_of_one_request, 413, 4 * MAX_REQUEST, id="one request"),
    ],
)
async def test_a_gzip_bomb_is_refused_with_little_memory(
    tmp_path: Path, bomb: Callable[[], Iterator[bytes]], status: int, growth: int
) -> None:
    body = b"".join(bomb())
    assert len(body) < 2 * MB
    with GatewayProcess(data_dir=tmp_path / "data") as gateway:
        before = psutil.Process(gateway.pid).memory_info().rss
        headers = JSON | {"Content-Encoding": "gzip"}
        async with (
            aiohttp.ClientSession() as client,
            client.post(gateway.url + BATCHES, data=BytesIO(body), headers=headers) as response,
        ):
            assert response.status == status, await response.text()
        assert peak_memory(gateway.pid) - before < growth


def peak_memory(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param((f"Content-Length: {len(SMALL) + 1}", SMALL), id="declared length"),
        pytest.param((f"Content-Length: {9 * MB}", b"".join(large_body(4 * MB))), id="after some megabytes"),
        pytest.param(("Transfer-Encoding: chunked", b"%x\r\n%b\r\n" % (len(SMALL), SMALL)), id="chunks"),
        pytest.param(("Transfer-Encoding: chunked", b"%x\r\n%b" % (len(SMALL) + 1, SMALL)), id="inside a chunk"),
        pytest.param(("Content-Length: 9", b""), id="before the body"),
    ],
)
async def test_a_client_that_disconnects_during_its_body_leaves_nothing_stored(
    tmp_path: Path, sent: tuple[str, bytes]
) -> None:
    length, body = sent
    async with running_app(tmp_path) as gateway, raw_connection(gateway.url) as connection:
        await connection.send(request_head(CREATE, "Content-Type: application/json", length) + body)
    async with running_app(tmp_path) as gateway:
        await assert_nothing_stored(gateway)


async def test_a_body_with_invalid_chunks_is_refused(gateway: RunningApp) -> None:
    async with raw_connection(gateway.url) as connection:
        await connection.send(request_head(CREATE, "Content-Type: application/json", "Transfer-Encoding: chunked"))
        await connection.send(b"%x\r\n%b\r\n" % (len(SMALL), SMALL))
        await connection.send(b"this is no length\r\n")
        answer = await connection.read_response()
    check_anthropic_error(answer.status, answer.headers, answer.body, expected=(400, "invalid_request_error"))
    await assert_nothing_stored(gateway)


async def test_a_stalled_body_times_out(gateway: RunningApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_body, "READ_TIMEOUT", 0.1)
    async with raw_connection(gateway.url) as connection:
        await connection.send(request_head(CREATE, "Content-Type: application/json", f"Content-Length: {len(SMALL)}"))
        await connection.send(SMALL[:-1])
        answer = await connection.read_response()
    message = check_anthropic_error(answer.status, answer.headers, answer.body, expected=(408, "timeout_error"))
    assert message.endswith(f"after {len(SMALL) - 1} bytes")
    await assert_nothing_stored(gateway)


async def test_a_client_that_expects_100_continue_receives_it(gateway: RunningApp) -> None:
    headers = ("Content-Type: application/json", f"Content-Length: {len(SMALL)}", "Expect: 100-continue")
    async with raw_connection(gateway.url) as connection:
        await connection.send(request_head(CREATE, *headers))
        assert (await connection.read_response()).status == 100
        await connection.send(SMALL)
        assert (await connection.read_response()).status == 200
