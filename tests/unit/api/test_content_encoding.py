"""Decoding returns the original body in bounded pieces, regardless of where the input is split."""

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
    """Compress as the standard requires, with the zlib header and checksum."""
    return zlib.compress(data)


def raw_deflate(data: bytes) -> bytes:
    """Compress as many clients do, without the zlib header and checksum."""
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
NO_DEADLINE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A slow machine must not fail the test."""
CUTS = st.lists(st.integers(0, 2**16), max_size=8)


def decode(encoding: str | None, body: bytes, cuts: Sequence[int] = ()) -> list[bytes]:
    """Decode a body that is split at these positions, modulo its length."""
    decoder = content_decoder(encoding)
    positions = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    pieces = [piece for start, end in itertools.pairwise(positions) for piece in decoder.decode(body[start:end])]
    decoder.finish()
    return pieces


@COMPRESSED
@given(data=st.binary(max_size=500), repeated=st.integers(1, 200), cuts=CUTS)
@NO_DEADLINE
def test_a_body_split_anywhere_is_decoded_unchanged(
    encoding: str, compressed: Compress, data: bytes, repeated: int, cuts: Sequence[int]
) -> None:
    assert b"".join(decode(encoding, compressed(data * repeated), cuts)) == data * repeated


@SEVERAL
@given(parts=st.lists(st.binary(max_size=100), min_size=1, max_size=5), cuts=CUTS)
@NO_DEADLINE
def test_several_compressed_members_are_concatenated(
    encoding: str, compressed: Compress, parts: Sequence[bytes], cuts: Sequence[int]
) -> None:
    assert b"".join(decode(encoding, b"".join(map(compressed, parts)), cuts)) == b"".join(parts)


@COMPRESSED
@pytest.mark.parametrize("size", [PIECE - 1, PIECE, PIECE + 1, PIECE + 100, 5 * PIECE, 5 * PIECE + 3])
@pytest.mark.parametrize("cuts", [(), (1, 2, 3, -9, -2, -1)], ids=["whole", "cut"])
def test_a_body_is_decoded_completely_in_bounded_pieces(
    encoding: str, compressed: Compress, size: int, cuts: Sequence[int]
) -> None:
    pieces = decode(encoding, compressed(b"a" * size), cuts)
    assert b"".join(pieces) == b"a" * size
    assert max(map(len, pieces)) <= PIECE


@COMPRESSED
@given(cut=st.integers(1, 2**16), data=st.binary(min_size=1, max_size=300))
@example(cut=1, data=b"a")
@NO_DEADLINE
def test_a_truncated_body_is_refused(encoding: str, compressed: Compress, cut: int, data: bytes) -> None:
    body = compressed(data)
    with pytest.raises(RefusedError, match="ends too early") as refused:
        decode(encoding, body[: -1 - cut % len(body)] if cut % len(body) else body[:-1])
    assert refused.value.code == "request_body_encoding_invalid"


@COMPRESSED
def test_a_body_with_the_wrong_encoding_is_refused(encoding: str, compressed: Compress) -> None:
    with pytest.raises(RefusedError, match=r"Content-Encoding: the body cannot be decoded as (gzip|deflate|zstd): "):
        decode(encoding, b'{"requests":[]}' + compressed(b"a"))


@SEVERAL
def test_data_after_a_member_must_be_another_member(encoding: str, compressed: Compress) -> None:
    with pytest.raises(RefusedError, match="cannot be decoded") as refused:
        decode(encoding, compressed(b"{}") + b"no member")
    assert refused.value.code == "request_body_encoding_invalid"


@given(data=st.binary(max_size=100), members=st.integers(1, 3), padding=st.integers(1, 600), cuts=CUTS)
@NO_DEADLINE
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
@NO_DEADLINE
def test_an_uncompressed_body_is_unchanged(encoding: str | None, data: bytes, cuts: Sequence[int]) -> None:
    assert b"".join(decode(encoding, data, cuts)) == data


@pytest.mark.parametrize("encoding", ["br", "compress", "gzip, gzip", "gzip,deflate", "utf-8", "*"])
def test_an_unsupported_encoding_is_refused_with_the_supported_ones(encoding: str) -> None:
    with pytest.raises(RefusedError, match=SUPPORTED) as refused:
        content_decoder(encoding)
    assert refused.value.code == "request_body_encoding_unsupported"


def test_a_zstd_body_that_requires_too_much_memory_is_refused() -> None:
    assert b"".join(decode("zstd", with_window(ZSTD_WINDOW_LOG))) == b"{}"
    with pytest.raises(RefusedError, match="memory") as refused:
        decode("zstd", with_window(ZSTD_WINDOW_LOG + 1))
    assert refused.value.code == "request_body_encoding_invalid"


def with_window(window_log: int) -> bytes:
    """Compress with this window size; a frame has a window only if its length is unknown."""
    compressor = ZstdCompressor(options={CompressionParameter.window_log: window_log})
    return compressor.compress(b"{}", ZstdCompressor.FLUSH_BLOCK) + compressor.flush()
