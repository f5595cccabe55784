"""The events of one batch or of a workspace, across connections; without a clock and without network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

import httpx2

from batchgate_client.models import BatchEventAction, BatchSummary
from batchgate_client.types import UNSET
from batchgate_streams.calls import Call, all_events_call, batch_events_call, unusable
from batchgate_streams.errors import ConnectionFailed, GatewayRefused, UnusableAnswer
from batchgate_streams.event_parser import EventParser, Message
from batchgate_streams.outage import Outage, retry_delay
from batchgate_streams.polling import FINAL

LONGEST_SILENCE: Final = 45.0
"""Seconds without a byte after which a connection counts as broken; the gateway sends something every 15."""
RETRY_DELAY: Final = 2.0
"""Seconds before the next connection, if the gateway does not say."""
LONGEST_RETRY_DELAY: Final = 10.0
"""The most seconds that the gateway may say."""


@dataclass(frozen=True, kw_only=True)
class StatusEvent:
    """The first sight of a batch, or another status of it."""

    batch: BatchSummary
    last_event_id: str | None
    """What resumes the events after this one, or shortly before it."""


@dataclass(frozen=True, kw_only=True)
class ProgressEvent:
    """Anything else of a batch has changed."""

    batch: BatchSummary
    last_event_id: str | None


@dataclass(frozen=True, kw_only=True)
class ActionEvent:
    """A caller has done something to a batch, such as a pause."""

    action: BatchEventAction
    last_event_id: str | None


BatchEvent: TypeAlias = StatusEvent | ProgressEvent | ActionEvent


class EventStream:
    """The decisions of one `stream_events`; all times are seconds on one clock."""

    def __init__(self, batch_id: str | None, last_event_id: str | None) -> None:
        self.has_ended = False
        """Whether the batch has ended and the caller knows; all batches never end."""
        self._batch_id = batch_id
        self._parser = EventParser(last_event_id)
        self._outage = Outage()

    def call(self) -> Call:
        """Return the call of the next connection; uncompressed, so that no piece is larger than what was sent."""
        last = UNSET if self._parser.last_event_id is None else self._parser.last_event_id
        if self._batch_id is None:
            call = all_events_call(last_event_id=last)
        else:
            call = batch_events_call(self._batch_id, last_event_id=last)
        headers = call["headers"] | {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
        return call | {"headers": headers, "timeout": LONGEST_SILENCE}

    def begin(self, response: httpx2.Response) -> None:
        """Read the head of an answer."""
        self._parser = EventParser(self._parser.last_event_id)
        if response.status_code == httpx2.codes.NO_CONTENT:
            self.has_ended = True
        elif response.headers.get("Content-Type", "").partition(";")[0].strip() != "text/event-stream":
            raise UnusableAnswer(f"{response.request.url}: the answer is not a stream of events")

    def feed(self, piece: bytes) -> Iterator[BatchEvent]:
        """Take a piece of an answer, and yield its events until the batch has ended."""
        self._outage.end()
        for message in self._parser.feed(piece):
            event = _event(message)
            if self._batch_id is not None and not isinstance(event, ActionEvent):
                self.has_ended = event.batch.status in FINAL
            yield event
            if self.has_ended:
                return

    def disconnected(self, error: ConnectionFailed | GatewayRefused | None, now: float) -> float | None:
        """Return the delay until the next connection, or None if the batch has ended; ``error`` ended the last one.

        Raises the error if a retry is useless, or if the gateway has been away for too long.
        """
        if self.has_ended:
            return None
        asked = RETRY_DELAY if self._parser.retry is None else self._parser.retry
        delay = min(asked, LONGEST_RETRY_DELAY)
        if error is None:
            return delay
        delay = retry_delay(error, delay)
        self._outage.begin(now)
        self._outage.check(error, now + delay)
        return delay


def _event(message: Message) -> BatchEvent:
    last = message.last_event_id
    with unusable("an event"):
        match message.name:
            case "status":
                return StatusEvent(batch=BatchSummary.from_dict(json.loads(message.data)), last_event_id=last)
            case "progress":
                return ProgressEvent(batch=BatchSummary.from_dict(json.loads(message.data)), last_event_id=last)
            case "action":
                return ActionEvent(action=BatchEventAction.from_dict(json.loads(message.data)), last_event_id=last)
            case unknown:
                raise ValueError(f"its kind is {unknown[:40]!r}")
