"""Finds the items of a JSON array in a part of its text.

msgspec finds the end of each item: it skips a value far faster than Python can look at its tokens, and refuses one that
is nested too deeply.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from batchgate.engine.model.decoding_errors import DECODING_ERRORS, DecodingError, is_utf8_error

_ANY: Final = msgspec.json.Decoder(msgspec.Raw)
_TRAILING: Final = "trailing characters"
_PLACE: Final = re.compile(r"\(byte (\d+)\)\Z")
_INVALID: Final = -1
_CUT_NUMBER: Final = 32
"""Bytes at the end of a text in which a fault may be a number that is cut off: msgspec refuses a minus alone."""


def array_items(text: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield each item that is followed by a comma, with the position after the comma.

    ``text`` begins with an item, and may end anywhere. If an item is invalid JSON, it is yielded with all that follows
    it, as the last one.
    """
    start = 0
    view = memoryview(text)
    while (end := _end_of_value(view[start:])) is not None:
        behind = text[start + end : start + end + 1]
        if end == _INVALID or behind not in b",]":
            yield text[start:], len(text)
            return
        if behind == b"]":
            return
        yield text[start : start + end], start + end + 1
        start += end + 1


def end_of_array(text: bytes) -> int | None:
    """Return the position of what follows the array whose opening bracket precedes the text.

    None if the array does not end in the text, if nothing follows it, or if it is invalid.
    """
    try:
        _ANY.decode(b"[" + text)
    except msgspec.DecodeError as error:
        return _place(error) - 1 if _TRAILING in str(error) else None
    except RecursionError:
        pass
    return None


def _end_of_value(text: memoryview) -> int | None:
    """Return the position of what follows the first value.

    None if the text ends before that, `_INVALID` if the value is invalid.
    """
    try:
        _ANY.decode(text)
    except DECODING_ERRORS as error:
        if isinstance(error, RecursionError) or is_utf8_error(error):
            return _INVALID
        place = _place(error)
        if _TRAILING in str(error):
            return place
        return None if place < 0 or place >= len(text) - _CUT_NUMBER else _INVALID
    return None


def _place(error: DecodingError) -> int:
    """Return the position that an error names; -1 for a text that ends too early."""
    found = _PLACE.search(str(error))
    return int(found[1]) - 1 if found else -1
