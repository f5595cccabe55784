"""Repairs JSON that real servers send with small faults; everything else in the document stays byte for byte.

The faults: bytes that are not UTF-8, half surrogates (a model that stops within an emoji), numbers that JSON does not
have (``NaN``), and raw control characters within strings.
"""

from __future__ import annotations

import math
import re
from typing import Final

import msgspec

_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[-+.\w]+', re.DOTALL)
"""A string, a number or a word; punctuation and whitespace are between the tokens."""

_WORDS: Final = frozenset({b"true", b"false", b"null"})
_JSON_NUMBER: Final = re.compile(rb"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?")
_CONTROL: Final = re.compile(rb"[\x00-\x1f]")
_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_REPLACEMENT: Final = rb"\ufffd"


def repair_encoding(document: bytes) -> bytes:
    """Return a document with U+FFFD in place of bytes that are not UTF-8."""
    if document.isascii():
        return document
    try:
        document.decode()
    except UnicodeDecodeError:
        return document.decode(errors="replace").encode()
    return document


def repair_json(document: bytes) -> bytes:
    """Return a document with U+FFFD for half surrogates, null for numbers like NaN, and control characters escaped."""
    return _TOKEN.sub(_repair_token, repair_encoding(document))


def _repair_token(found: re.Match[bytes]) -> bytes:
    token = found[0]
    if token.startswith(b'"'):
        escaped = _CONTROL.sub(lambda control: b"\\u%04x" % ord(control[0]), token)
        return _ESCAPE.sub(lambda escape: _REPLACEMENT if escape["lone"] else escape[0], escaped)
    if token in _WORDS or _JSON_NUMBER.fullmatch(token):
        return token
    try:
        number = float(token)
    except ValueError:
        return token
    return msgspec.json.encode(number) if math.isfinite(number) else b"null"
