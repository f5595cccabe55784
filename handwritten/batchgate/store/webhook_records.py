"""Conversions between database rows and webhooks with their deliveries, the same for every database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from batchgate.engine.model.batch_event import SAMPLE_TYPE, BatchEvent, SampleEvent
from batchgate.engine.model.webhook import (
    RETRY_PERIOD,
    Delivery,
    DeliveryAttempt,
    DeliveryPage,
    DeliveryState,
    EventType,
    NewWebhook,
    Webhook,
)
from batchgate.store.list_records import NO_UPPER_BOUND
from batchgate.store.records import Row

_EVENTS: Final = msgspec.json.Decoder(tuple[str, ...])


def new_webhook_row(new: NewWebhook) -> dict[str, object]:
    """Return the parameters that insert a webhook."""
    return msgspec.structs.asdict(new) | {"events": events_text(new.events)}


def events_text(events: Sequence[EventType] | None) -> str | None:
    """Return the events of a webhook as JSON."""
    return None if events is None else msgspec.json.encode(events).decode()


def webhook_from_row(row: Row) -> Webhook:
    """Return the webhook in a row."""
    fields = {name: row[name] for name in Webhook.__struct_fields__}
    return Webhook(**{**fields, "events": _EVENTS.decode(row["events"])})


def delivery_from_row(row: Row) -> Delivery:
    """Return the delivery in a row."""
    return Delivery(**{name: row[name] for name in Delivery.__struct_fields__})


def event_row(event: BatchEvent) -> dict[str, object]:
    """Return the parameters that insert the deliveries of an event."""
    return msgspec.structs.asdict(event) | {"retry_until": event.at + RETRY_PERIOD}


def sample_event_row(webhook_key: int, event: SampleEvent) -> dict[str, object]:
    """Return the parameters that insert the delivery of a test event."""
    fields = {"webhook_key": webhook_key, "type": SAMPLE_TYPE, "retry_until": event.at + RETRY_PERIOD}
    return msgspec.structs.asdict(event) | fields


def delivery_list_row(
    webhook_key: int, *, after: int | None, state: DeliveryState | None, limit: int
) -> dict[str, object]:
    """Return the parameters that read a page of deliveries and one more."""
    before = NO_UPPER_BOUND if after is None else after
    return {"webhook_key": webhook_key, "before": before, "state": state, "limit": limit + 1}


def delivery_page(rows: Sequence[Row], limit: int) -> DeliveryPage:
    """Return the page that rows make, of which one may be too many."""
    deliveries = tuple(delivery_from_row(row) for row in rows[:limit])
    return DeliveryPage(deliveries=deliveries, has_more=len(rows) > limit)


def replay_row(webhook_key: int, event_id: str, now: int) -> dict[str, object]:
    """Return the parameters that make a delivery pending again."""
    return {"webhook_key": webhook_key, "event_id": event_id, "now": now, "retry_until": now + RETRY_PERIOD}


def attempt_row(delivery: Delivery, attempt: DeliveryAttempt) -> dict[str, object]:
    """Return the parameters that store how an attempt ended."""
    return msgspec.structs.asdict(attempt) | {"key": delivery.key, "attempts": delivery.attempts}
