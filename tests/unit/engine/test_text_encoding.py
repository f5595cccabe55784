"""Text in UTF-8 or UTF-16 with a byte order mark becomes UTF-8 without one, in pieces of any size."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgate.engine.model.text_encoding import Utf8Decoder, to_utf8

TEXT = '{"a": "é \N{GRINNING FACE} \u2028"}\r\n'
ENCODED = {
    "utf-8": TEXT.encode(),
    "utf-8 with a mark": TEXT.encode("utf-8-sig"),
    "utf-16 little endian": codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
    "utf-16 big endian": codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
}


def decoded(text: bytes, size: int) -> bytes:
    decoder = Utf8Decoder()
    return (
        b"".join(decoder.decode(text[start : start + size]) for start in range(0, len(text), size)) + decoder.finish()
    )


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
@pytest.mark.parametrize("encoding", ENCODED)
def test_every_encoding_becomes_utf_8(encoding: str, size: int) -> None:
    assert decoded(ENCODED[encoding], size) == TEXT.encode()
    assert to_utf8(ENCODED[encoding]) == TEXT.encode()


@given(st.binary(max_size=12), st.integers(1, 4))
def test_bytes_without_a_mark_pass_unchanged(text: bytes, size: int) -> None:
    if not text.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        assert decoded(text, size) == to_utf8(text) == text


@pytest.mark.parametrize("text", [b"", b"\xef", b"\xef\xbb", b"\xff", b"\xfe", b"1"])
def test_a_text_shorter_than_a_mark_is_not_lost(text: bytes) -> None:
    assert decoded(text, 1) == text


@pytest.mark.parametrize("rest", [b"a", b"a\0b", b"\x3d\xd8", b"\x3d\xd8a\0"])
def test_invalid_utf_16_is_an_error_or_replaced(rest: bytes) -> None:
    with pytest.raises(UnicodeDecodeError):
        decoded(codecs.BOM_UTF16_LE + rest, 1)
    assert "\N{REPLACEMENT CHARACTER}" in to_utf8(codecs.BOM_UTF16_LE + rest, errors="replace").decode()
