"""The events of a batch that webhooks get: what happened to it, as JSON.

An event states the batch as it was then, without requests and results. For a batch in OpenAI's format, the events that
OpenAI's own webhooks have also carry the names and fields that they have there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from batchgate.engine.model.batch import Batch, BatchEnd
from batchgate.engine.model.clock import MICROSECONDS
from batchgate.engine.model.ids import new_id
from batchgate.engine.model.shard import ResultChunk
from batchgate.engine.model.times import rfc3339
from batchgate.engine.model.usage import Counts
from batchgate.engine.model.webhook import EventType
from batchgate.engine.model.workspace import NANODOLLARS_PER_DOLLAR

SAMPLE_TYPE: Final = "webhook.test"
PERCENTAGES: Final = (10, 20, 30, 40, 50, 60, 70, 80, 90)
"""How much of a batch is done when it says so; the end of a batch is another event."""
MAX_FAILED_ROWS: Final = 100
"""How many requests of a batch fail before no further one has an event."""
UNFINISHED_KINDS: Final = frozenset({"expired", "canceled"})

_ENDINGS: Final[Mapping[BatchEnd, EventType]] = {
    "completed": "batch.completed",
    "expired": "batch.expired",
    "canceled": "batch.canceled",
}
_PAUSES: Final[Mapping[str, tuple[EventType, ...]]] = dict.fromkeys(
    ("budget_reached", "monthly_budget_reached"), ("batch.budget_reached",)
)
"""The events of pauses by their codes, beside that of every pause."""
_OPENAI_TYPES: Final[Mapping[EventType, str]] = {
    "batch.completed": "batch.completed",
    "batch.failed": "batch.failed",
    "batch.expired": "batch.expired",
    "batch.canceled": "batch.cancelled",
}
"""The events of OpenAI's webhooks, by ours."""


class BatchEvent(Struct, frozen=True, kw_only=True):
    """Something that happened to a batch, for all webhooks of its workspace that want it."""

    id: str
    kind: EventType
    """By which webhooks choose."""
    type: str
    """As the payload names it."""
    workspace: str
    batch_key: int
    url: str | None
    """The URL that the batch names for its own events."""
    at: int
    payload: str


class SampleEvent(Struct, frozen=True, kw_only=True):
    """An event that concerns no batch, by which a caller tests one webhook."""

    id: str
    at: int
    payload: str


def creation_events(batch: Batch) -> Sequence[BatchEvent]:
    """Return the events of a batch that was created; one that needs no validation has started, too."""
    kinds: tuple[EventType, ...] = ("batch.created", "batch.started")
    return [_event(batch, kind, batch.created_at) for kind in kinds[: 2 if batch.status == "in_progress" else 1]]


def start_event(batch: Batch, at: int) -> BatchEvent:
    """Return the event of a batch whose file was validated."""
    return _event(batch, "batch.started", at)


def end_event(batch: Batch) -> BatchEvent:
    """Return the event of a batch that has ended or failed."""
    assert batch.ended_at is not None
    return _event(batch, "batch.failed" if batch.status == "failed" else _ENDINGS[batch.end], batch.ended_at)


def pause_events(before: Batch, after: Batch) -> Sequence[BatchEvent]:
    """Return the events of a change by which a batch was paused; none if it was paused before, or is not."""
    pause = after.pause
    if pause is None or before.pause is not None:
        return ()
    paused = {"code": pause.code, "reason": pause.reason}
    return [_event(after, kind, pause.since, paused=paused) for kind in ("batch.paused", *_PAUSES.get(pause.code, ()))]


def may_tell(before: Counts, chunk: ResultChunk) -> bool:
    """Return whether `result_events` may return any event when a chunk is added to these counts."""
    return bool(_passed(before, chunk)) or (bool(chunk.failures) and before.errored < MAX_FAILED_ROWS)


def result_events(after: Batch, chunk: ResultChunk) -> Sequence[BatchEvent]:
    """Return the events of a batch to which a chunk was added: how far it is, and which requests have failed.

    Of requests that failed for the same reason, only those that a failure group names have an event, and of the whole
    batch about `MAX_FAILED_ROWS`: a batch may have a hundred thousand requests.
    """
    counts = after.counts.with_results(-chunk.succeeded, -chunk.errored)
    told = [_event(after, "batch.progress", chunk.at, percent=percent) for percent in _passed(counts, chunk)]
    failed = [
        (request, group.kind)
        for group in chunk.failures
        if group.kind not in UNFINISHED_KINDS
        for request in group.first
    ]
    room = max(0, MAX_FAILED_ROWS - counts.errored)
    told += [
        _event(after, "row.failed", chunk.at, request={"custom_id": request.custom_id}, error={"type": kind})
        for request, kind in sorted(failed)[:room]
    ]
    return told


def _passed(before: Counts, chunk: ResultChunk) -> Sequence[int]:
    """Return the percentages that a batch passes when a chunk is added to these counts."""
    done = before.succeeded + before.errored
    now = done + chunk.succeeded + chunk.errored
    return [percent for percent in PERCENTAGES if done * 100 < percent * before.total <= now * 100]


def sample_event(at: int) -> SampleEvent:
    """Return an event by which a receiver is tested."""
    event_id = new_id("evt")
    payload = _encoded({"id": event_id, "type": SAMPLE_TYPE, "timestamp": rfc3339(at), "data": {}})
    return SampleEvent(id=event_id, at=at, payload=payload)


def _event(batch: Batch, kind: EventType, at: int, **more: object) -> BatchEvent:
    event_id, own = new_id("evt"), None
    if batch.dialect == "openai":
        own = _OPENAI_TYPES.get(kind)
    type_ = own or kind
    fields = {"object": "event", "created_at": at // MICROSECONDS} if own else {}
    head = {"id": event_id, "type": type_, "timestamp": rfc3339(at)}
    return BatchEvent(
        id=event_id,
        kind=kind,
        type=type_,
        workspace=batch.workspace,
        batch_key=batch.key,
        url=batch.options.webhook_url,
        at=at,
        payload=_encoded({**head, **fields, "data": _batch_data(batch) | more}),
    )


def _batch_data(batch: Batch) -> dict[str, object]:
    return {
        "id": batch.id,
        "name": batch.options.batch_name,
        "status": batch.status,
        "request_counts": msgspec.structs.asdict(batch.counts) | {"processing": batch.counts.processing},
        "cost_usd": batch.spend.total / NANODOLLARS_PER_DOLLAR,
        "unpriced": batch.spend.unpriced,
    }


def _encoded(payload: Mapping[str, object]) -> str:
    return msgspec.json.encode(payload).decode()
