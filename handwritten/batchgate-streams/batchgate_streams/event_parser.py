"""Parses a stream of server-sent events, by the rules of the WHATWG HTML standard, with bounds on what it holds.

httpx-sse holds lines and events of any size, so a server could fill the memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from batchgate_streams.errors import UnusableAnswer

MOST_BYTES: Final = 1024 * 1024
"""The largest line, and the most data of one event; those of Batchgate have some kilobytes."""
_LINE_END: Final = re.compile(rb"\r\n|\n|\r")
_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, kw_only=True)
class Message:
    """One event as it was sent."""

    name: str
    data: str
    last_event_id: str | None
    """The last id up to this event: events that are sent together have one, at the last of them."""


class EventParser:
    """Takes pieces of one stream and yields the events that are complete."""

    def __init__(self, last_event_id: str | None) -> None:
        self.last_event_id = last_event_id
        self.retry: float | None = None
        """The seconds after which the server wants to be called again."""
        self._pending = b""
        self._after_return = False
        self._is_first_line = True
        self._name, self._data, self._size = "", list[str](), 0
        self._id: str | None = None

    def feed(self, piece: bytes) -> Iterator[Message]:
        r"""Take a piece of any size; a line ends with ``\n``, ``\r`` or both, which may come in two pieces."""
        if not piece:
            return
        if self._after_return:
            piece = piece.removeprefix(b"\n")
        self._after_return = piece.endswith(b"\r")
        *ended, rest = _LINE_END.split(piece)
        for line in ended:
            whole, self._pending = self._pending + line, b""
            yield from self._line(_bounded(whole))
        self._pending = _bounded(self._pending + rest)

    def _line(self, line: bytes) -> Iterator[Message]:
        if self._is_first_line:
            line, self._is_first_line = line.removeprefix(_BOM), False
        if not line:
            yield from self._dispatch()
            return
        name, _, value = line.decode(errors="replace").partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                self._name = value
            case "data":
                self._add_data(value)
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isascii() and value.isdigit():
                self.retry = int(value) / 1000
            case _:  # a comment, or a field that the standard tells clients to ignore
                pass

    def _add_data(self, value: str) -> None:
        self._data.append(value)
        self._size += len(value) + 1
        if self._size > MOST_BYTES:
            raise UnusableAnswer(f"an event has more than {MOST_BYTES} characters")

    def _dispatch(self) -> Iterator[Message]:
        if self._id is not None:
            self.last_event_id = self._id or None
        if self._data:
            name, data = self._name or "message", "\n".join(self._data)
            yield Message(name=name, data=data, last_event_id=self.last_event_id)
        self._name, self._data, self._size, self._id = "", [], 0, None


def _bounded(line: bytes) -> bytes:
    if len(line) > MOST_BYTES:
        raise UnusableAnswer(f"a line of the events has more than {MOST_BYTES} bytes")
    return line
