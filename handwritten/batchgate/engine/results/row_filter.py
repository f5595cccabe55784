"""Which requests of a batch a caller asks for, by how they ended and by a text in them."""

from __future__ import annotations

import json
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from batchgate.engine.model.decoding_errors import DECODING_ERRORS
from batchgate.engine.model.shard import RequestStatus

RowState: TypeAlias = Literal["pending"] | RequestStatus
"""How a request has ended; ``pending`` if it has not."""

_ESCAPES_OF_ANY: Final = (b"\\u", b"\\/")
"""How JSON may write characters that need no escape."""
ENDED_WITHOUT_SUCCESS: Final = frozenset({"errored", "canceled", "expired"})


class RowFilter(Struct, frozen=True, kw_only=True):
    """What requests must have; everything by default."""

    outcome: RowState | Literal["failed"] | None = None
    text: str | None = None
    """A text in a text of the request or the result; small and capital letters are the same."""

    def accepts_state(self, state: RowState) -> bool:
        """Return whether requests that ended so are asked for."""
        if self.outcome == "failed":
            return state in ENDED_WITHOUT_SUCCESS
        return self.outcome is None or state == self.outcome

    def accepts_lines(self, *lines: bytes | None) -> bool:
        """Return whether one of the lines, which are JSON, has the text in one of its texts."""
        if self.text is None:
            return True
        text = self.text.casefold()
        return any(line is not None and self._may_have(text, line) and _has(text, line) for line in lines)

    @staticmethod
    def _may_have(text: str, line: bytes) -> bool:
        """Return whether decoding a line is worthwhile.

        JSON has many ways to write a character, and folding makes ASCII of others, as "ss" of "ß".
        """
        if not (text.isascii() and line.isascii()) or any(escape in line for escape in _ESCAPES_OF_ANY):
            return True
        return json.dumps(text)[1:-1].encode() in line.lower()


def _has(text: str, line: bytes) -> bool:
    try:
        return _is_in(text, msgspec.json.decode(line))
    except DECODING_ERRORS:
        return False


def _is_in(text: str, value: Any) -> bool:
    """Return whether a decoded JSON value has a text, however deep; names of fields are not looked at."""
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str) and text in part.casefold():
            return True
        if isinstance(part, dict | list):
            waiting.extend(part.values() if isinstance(part, dict) else part)
    return False
