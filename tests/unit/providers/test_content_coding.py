"""Response bodies of several gzip members, or with padding, are decoded up to the maximum size."""

from __future__ import annotations

import gzip
import zlib

import pytest

from batchgate.providers.transport.call_errors import CallFailedError, ResponseTooLargeError
from batchgate.providers.transport.content_coding import decode_body

LIMIT = 1_000_000


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP"])
@pytest.mark.parametrize(
    "body",
    [
        gzip.compress(b"pl") + gzip.compress(b"ain"),
        gzip.compress(b"pl") + gzip.compress(b"") * 2 + gzip.compress(b"ain"),
        gzip.compress(b"plain") + b"\0",
        gzip.compress(b"plain") + bytes(10_000),
        gzip.compress(b"pl") + gzip.compress(b"ain") + bytes(512),
        b"".join(gzip.compress(bytes([byte])) for byte in b"plain") + gzip.compress(b"") * 2000,
    ],
    ids=["two members", "empty members", "one zero", "padding", "members and padding", "many members"],
)
async def test_gzip_of_several_members_or_with_zero_padding_is_decoded(encoding: str, body: bytes) -> None:
    assert await decode_body(body, encoding, LIMIT) == b"plain"


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(b"pl") + gzip.compress(b"ain")[:-1]),
        ("gzip", gzip.compress(b"plain") + b"more"),
        ("gzip", gzip.compress(b"plain") + bytes(8) + b"more"),
        ("gzip", gzip.compress(b"plain") + bytes(8) + gzip.compress(b"more")),
        ("gzip", bytes(8)),
        ("deflate", zlib.compress(b"plain") + bytes(8)),
    ],
    ids=[
        "second member cut off",
        "text after the member",
        "text after the padding",
        "member after the padding",
        "only padding",
        "deflate with padding",
    ],
)
async def test_other_bytes_after_the_content_are_an_error(encoding: str, body: bytes) -> None:
    with pytest.raises(CallFailedError):
        await decode_body(body, encoding, LIMIT)


BODIES = [gzip.compress(b"12345") * 2, gzip.compress(b"1234512345"), zlib.compress(b"12345" * 2)]


@pytest.mark.parametrize("body", BODIES, ids=["two members", "one member", "deflate"])
async def test_the_content_of_all_members_counts_for_the_maximum_size(body: bytes) -> None:
    encoding = "gzip" if body.startswith(b"\x1f\x8b") else "deflate"
    assert await decode_body(body, encoding, limit=10) == b"1234512345"
    with pytest.raises(ResponseTooLargeError):
        await decode_body(body, encoding, limit=9)
