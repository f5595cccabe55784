"""Server-sent events are parsed by the rules of the WHATWG HTML standard, in bounded memory."""

from __future__ import annotations

import pytest

from batchgate_streams.errors import UnusableAnswer
from batchgate_streams.event_parser import MOST_BYTES, EventParser, Message

STREAM = (
    "\ufeffretry: 1500\n\n"
    ": a comment\ndata\ndata: läufe \u2028 漢字\n\n"
    "event: status\ndata:{}\nid: 1\n\n"
    "event: forgotten, since it has no data\nid: 2\nunknown: field\n\n"
    "data:  x\nid: with \0, so it does not count\nretry: soon\n\n"
    "data: y\nid\n\n"
    "data: without its end"
).encode()
MESSAGES = [
    Message(name="message", data="\nläufe \u2028 漢字", last_event_id="0"),
    Message(name="status", data="{}", last_event_id="1"),
    Message(name="message", data=" x", last_event_id="2"),
    Message(name="message", data="y", last_event_id=None),
]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_a_stream_has_the_same_events_with_any_line_ends_and_in_pieces_of_any_size(end: bytes, size: int) -> None:
    parser, stream = EventParser("0"), STREAM.replace(b"\n", end)
    pieces = (stream[at : at + size] for at in range(0, len(stream), size))
    assert [message for piece in pieces for message in parser.feed(piece)] == MESSAGES
    assert (parser.last_event_id, parser.retry) == (None, 1.5)


def test_an_id_counts_only_once_its_event_is_complete() -> None:
    parser = EventParser("0")
    assert list(parser.feed(b"data: x\nid: 1\n")) == []
    assert parser.last_event_id == "0"
    assert [message.last_event_id for message in parser.feed(b"\n")] == ["1"]


@pytest.mark.parametrize("piece", [b"x" * 4096, b"data: " + b"x" * 4096 + b"\n"], ids=["a line", "an event"])
def test_what_has_no_end_is_refused(piece: bytes) -> None:
    parser = EventParser(None)
    messages = (message for _ in range(MOST_BYTES // 4096 + 1) for message in parser.feed(piece))
    with pytest.raises(UnusableAnswer, match="has more than 1048576"):
        list(messages)
