"""What a client of events does with answers that are not events, with a gateway that is away, and at the end."""

from __future__ import annotations

import json

import httpx2
import pytest

from batchgate_client.models import BatchEventAction
from batchgate_streams import ActionEvent, ConnectionFailed, CutShort, GatewayRefused, Refusal, UnusableAnswer
from batchgate_streams.event_stream import LONGEST_RETRY_DELAY, RETRY_DELAY, EventStream
from batchgate_streams.outage import MAX_OUTAGE

GONE = CutShort("gone")
ACTION = {"id": "b", "at": "2026-10-21T07:28:00Z", "action": "paused", "by": None, "detail": "why"}


def answer(status: int = 200, kind: str = "text/event-stream; charset=utf-8") -> httpx2.Response:
    return httpx2.Response(
        status, headers={"content-type": kind}, request=httpx2.Request("GET", "http://gateway.test/")
    )


def test_the_next_connection_goes_on_after_the_last_id_and_when_the_gateway_says() -> None:
    stream = EventStream(None, None)
    assert "Last-Event-ID" not in stream.call()["headers"]
    stream.begin(answer())
    data = json.dumps(ACTION).encode()
    found = list(stream.feed(b"retry: 500\n\nevent: action\ndata: %s\n\nid: 7\n\nid: 8\n" % data))
    assert found == [ActionEvent(action=BatchEventAction.from_dict(ACTION), last_event_id=None)]
    assert stream.disconnected(None, 0) == 0.5
    stream.begin(answer())
    assert (stream.call()["url"], stream.call()["headers"]["Last-Event-ID"]) == ("/api/events", "7")
    list(stream.feed(b"retry: 86400000\n"))
    assert stream.disconnected(GONE, 0) == LONGEST_RETRY_DELAY


def test_a_gateway_may_be_away_for_a_minute_after_its_last_byte() -> None:
    stream = EventStream("b", "1")
    assert stream.disconnected(GONE, 0) == RETRY_DELAY
    stream.begin(answer())
    list(stream.feed(b": no news\n"))
    assert stream.disconnected(GONE, 50) == RETRY_DELAY
    overloaded = GatewayRefused(Refusal(status=529, message="many streams", retry_after=5))
    assert stream.disconnected(overloaded, 50) == 5
    assert stream.disconnected(GONE, 50 + MAX_OUTAGE - RETRY_DELAY) == RETRY_DELAY
    with pytest.raises(ConnectionFailed, match="gone"):
        stream.disconnected(GONE, 50 + MAX_OUTAGE)
    with pytest.raises(GatewayRefused):
        stream.disconnected(GatewayRefused(Refusal(status=404, message="deleted")), 0)


def test_an_answer_without_content_is_the_end() -> None:
    stream = EventStream("b", "1")
    stream.begin(answer(204))
    assert stream.disconnected(None, 0) is None


@pytest.mark.parametrize(
    "sent", ["event: news\ndata: {}", "data: {}", "event: status\ndata: {", "event: action\ndata: []"]
)
def test_an_event_that_is_not_one_of_batchgate_is_unusable(sent: str) -> None:
    stream = EventStream("b", None)
    stream.begin(answer())
    with pytest.raises(UnusableAnswer, match="an event: not a Batchgate of this version"):
        list(stream.feed(f"{sent}\n\n".encode()))


def test_a_page_is_not_a_stream_of_events() -> None:
    with pytest.raises(UnusableAnswer, match="not a stream of events"):
        EventStream("b", None).begin(answer(kind="text/html"))
