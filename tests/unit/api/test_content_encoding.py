"""Compressed bodies come out as they went in, in bounded pieces, however they are cut."""

import gzip
import itertools
import sys
import zlib
from collections.abc import Callable, Sequence

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from batchgate.api.content_encoding import PIECE, SUPPORTED, ZSTD_WINDOW_LOG, content_decoder
from batchgate.engine.model.errors import RefusedError

if sys.version_info >= (3, 14):
    from compression.zstd import CompressionParameter, ZstdCompressor, compress
else:
    from backports.zstd import CompressionParameter, ZstdCompressor, compress

Compress = Callable[[bytes], bytes]


def deflate(data: bytes) -> bytes:
    """Compress as the standard says: with the header and the checksum of zlib."""
    return zlib.compress(data)


def raw_deflate(data: bytes) -> bytes:
    """Compress as many clients do: without them."""
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


def zstd(data: bytes) -> bytes:
    return compress(data)


ENCODINGS: list[tuple[str, Compress]] = [
    ("gzip", gzip.compress),
    ("x-gzip", gzip.compress),
    ("GZIP ", gzip.compress),
    ("deflate", deflate),
    ("deflate", raw_deflate),
    ("zstd", zstd),
]
COMPRESSED = pytest.mark.parametrize(
    ("encoding", "compressed"), ENCODINGS, ids=[f"{name.strip()}-{how.__name__}" for name, how in ENCODINGS]
)
SEVERAL = pytest.mark.parametrize(("encoding", "compressed"), [("gzip", gzip.compress), ("zstd", zstd)])
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A machine that is busy with other things is no fault."""
CUTS = st.lists(st.integers(0, 2**16), max_size=8)


def decode(encoding: str | None, body: bytes, cuts: Sequence[int] = ()) -> list[bytes]:
    """Decode a body that is cut at places taken modulo its length."""
    decoder = content_decoder(encoding)
    places = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    pieces = [piece for start, end in itertools.pairwise(places) for piece in decoder.decode(body[start:end])]
    decoder.finish()
    return pieces


@COMPRESSED
@given(data=st.binary(max_size=500), repeated=st.integers(1, 200), cuts=CUTS)
@UNHURRIED
def test_a_body_cut_anywhere_comes_out_as_it_went_in(
    encoding: str, compressed: Compress, data: bytes, repeated: int, cuts: Sequence[int]
) -> None:
    assert b"".join(decode(encoding, compressed(data * repeated), cuts)) == data * repeated


@SEVERAL
@given(parts=st.lists(st.binary(max_size=100), min_size=1, max_size=5), cuts=CUTS)
@UNHURRIED
def test_a_body_of_several_members_is_the_sum_of_them(
    encoding: str, compressed: Compress, parts: Sequence[bytes], cuts: Sequence[int]
) -> None:
    assert b"".join(decode(encoding, b"".join(map(compressed, parts)), cuts)) == b"".join(parts)


@COMPRESSED
@pytest.mark.parametrize("size", [PIECE - 1, PIECE, PIECE + 1, PIECE + 100, 5 * PIECE, 5 * PIECE + 3])
@pytest.mark.parametrize("cuts", [(), (1, 2, 3, -9, -2, -1)], ids=["whole", "cut"])
def test_what_comes_out_is_whole_and_in_bounded_pieces(
    encoding: str, compressed: Compress, size: int, cuts: Sequence[int]
) -> None:
    pieces = decode(encoding, compressed(b"a" * size), cuts)
    assert b"".join(pieces) == b"a" * size
    assert max(map(len, pieces)) <= PIECE


@COMPRESSED
@given(cut=st.integers(1, 2**16), data=st.binary(min_size=1, max_size=300))
@example(cut=1, data=b"a")
@UNHURRIED
def test_a_body_that_ends_too_early_is_refused(encoding: str, compressed: Compress, cut: int, data: bytes) -> None:
    body = compressed(data)
    with pytest.raises(RefusedError, match="ends too early") as refused:
        decode(encoding, body[: -1 - cut % len(body)] if cut % len(body) else body[:-1])
    assert refused.value.code == "request_body_encoding_invalid"


@COMPRESSED
def test_a_body_that_is_not_encoded_so_is_refused(encoding: str, compressed: Compress) -> None:
    with pytest.raises(RefusedError, match=r"Content-Encoding: the body cannot be decoded as (gzip|deflate|zstd): "):
        decode(encoding, b'{"requests":[]}' + compressed(b"a"))


@SEVERAL
def test_what_follows_the_end_must_be_another_member(encoding: str, compressed: Compress) -> None:
    with pytest.raises(RefusedError, match="cannot be decoded") as refused:
        decode(encoding, compressed(b"{}") + b"no member")
    assert refused.value.code == "request_body_encoding_invalid"


@given(data=st.binary(max_size=100), members=st.integers(1, 3), padding=st.integers(1, 600), cuts=CUTS)
@UNHURRIED
def test_zero_padding_at_the_end_of_gzip_is_ignored(
    data: bytes, members: int, padding: int, cuts: Sequence[int]
) -> None:
    assert b"".join(decode("gzip", gzip.compress(data) * members + bytes(padding), cuts)) == data * members


def test_padding_that_begins_after_a_full_piece_is_ignored() -> None:
    assert b"".join(decode("gzip", gzip.compress(b"a" * PIECE) + bytes(10), (-3,))) == b"a" * PIECE


@pytest.mark.parametrize(
    "after", [b"\0x", bytes(512) + b"x", bytes(8) + gzip.compress(b"{}")], ids=["a byte", "a late byte", "a member"]
)
@pytest.mark.parametrize("cuts", [(), (-1,), (-5, -2)])
def test_other_bytes_in_the_zero_padding_of_gzip_are_refused(after: bytes, cuts: Sequence[int]) -> None:
    with pytest.raises(RefusedError, match="cannot be decoded as gzip") as refused:
        decode("gzip", gzip.compress(b"{}") + after, cuts)
    assert refused.value.code == "request_body_encoding_invalid"


def test_deflate_with_zero_padding_is_refused() -> None:
    with pytest.raises(RefusedError, match="cannot be decoded as deflate"):
        decode("deflate", deflate(b"{}") + bytes(8))


@pytest.mark.parametrize("encoding", [None, "identity", "Identity"])
@given(data=st.binary(max_size=50), cuts=CUTS)
@UNHURRIED
def test_a_plain_body_passes_as_it_is(encoding: str | None, data: bytes, cuts: Sequence[int]) -> None:
    assert b"".join(decode(encoding, data, cuts)) == data


@pytest.mark.parametrize("encoding", ["br", "compress", "gzip, gzip", "gzip,deflate", "utf-8", "*"])
def test_an_encoding_that_is_not_supported_is_refused_with_those_that_are(encoding: str) -> None:
    with pytest.raises(RefusedError, match=SUPPORTED) as refused:
        content_decoder(encoding)
    assert refused.value.code == "request_body_encoding_unsupported"


def test_a_zstd_body_that_wants_more_memory_than_http_allows_is_refused() -> None:
    assert b"".join(decode("zstd", with_window(ZSTD_WINDOW_LOG))) == b"{}"
    with pytest.raises(RefusedError, match="memory") as refused:
        decode("zstd", with_window(ZSTD_WINDOW_LOG + 1))
    assert refused.value.code == "request_body_encoding_invalid"


def with_window(window_log: int) -> bytes:
    """Compress with a window of that size, which a frame only has while its length is not known."""
    compressor = ZstdCompressor(options={CompressionParameter.window_log: window_log})
    return compressor.compress(b"{}", ZstdCompressor.FLUSH_BLOCK) + compressor.flush()
