"""Decodes text that comes in as UTF-8 with or without a byte order mark, or as UTF-16 with one.

Windows programs write both. JSON is UTF-8 without a mark (RFC 8259, 8.1), so everything behind this module needs to
know no other encoding. UTF-16 without a mark is not recognized: it is then no valid JSON.
"""

from __future__ import annotations

import codecs
from typing import Final, Literal

_MARKS: Final = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_LONGEST_MARK: Final = max(map(len, _MARKS))


def begins_with_mark(text: bytes) -> bool:
    """Return whether text begins with a byte order mark."""
    return text.startswith(_MARKS)


class Utf8Decoder:
    """Converts text to UTF-8 without a byte order mark, piece by piece; UTF-8 is passed on unchecked."""

    def __init__(self, errors: Literal["strict", "replace"] = "strict") -> None:
        self._errors = errors
        self._start: bytes | None = b""
        self._utf16: codecs.IncrementalDecoder | None = None

    @property
    def is_utf16(self) -> bool:
        """Whether the text is UTF-16."""
        return self._utf16 is not None

    def decode(self, data: bytes) -> bytes:
        """Return the next bytes as UTF-8; raises `UnicodeDecodeError` for invalid UTF-16."""
        if self._start is not None:
            data = self._begin(self._start + data)
        return data if self._utf16 is None else self._utf16.decode(data).encode()

    def finish(self) -> bytes:
        """Return the bytes that remain at the end; raises `UnicodeDecodeError` if the last character is incomplete."""
        rest, self._start = self._start or b"", None
        return rest if self._utf16 is None else self._utf16.decode(b"", final=True).encode()

    def _begin(self, start: bytes) -> bytes:
        """Remove the mark once it is complete."""
        if len(start) < _LONGEST_MARK and any(mark.startswith(start) for mark in _MARKS if mark != start):
            self._start = start
            return b""
        self._start = None
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            self._utf16 = codecs.getincrementaldecoder("utf-16")(self._errors)
            return start
        return start.removeprefix(codecs.BOM_UTF8)


def to_utf8(text: bytes, errors: Literal["strict", "replace"] = "strict") -> bytes:
    """Convert a whole text to UTF-8 without a byte order mark; raises `UnicodeDecodeError` for invalid UTF-16."""
    if not begins_with_mark(text):
        return text
    decoder = Utf8Decoder(errors)
    return decoder.decode(text) + decoder.finish()
