"""Webhooks and their deliveries in a store, for tests that call the store directly."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from batchgate.engine.model.webhook import (
    EVENT_TYPES,
    Delivery,
    DeliveryAttempt,
    DeliveryState,
    EventType,
    NewWebhook,
    Webhook,
)
from batchgate.store.postgres import PostgresStore
from batchgate.store.sqlite import SqliteStore

WebhookStores = SqliteStore | PostgresStore
LATER: Final = 10**9
"""After everything that the tests store."""


async def add_webhook(
    store: WebhookStores,
    webhook_id: str = "h",
    *,
    workspace: str = "w",
    url: str | None = "https://example.com/hook",
    events: tuple[EventType, ...] = EVENT_TYPES,
) -> Webhook:
    """Store a webhook that wants all events, unless others are given."""
    new = NewWebhook(id=webhook_id, workspace=workspace, url=url, events=events, secret=b"s", created_at=5)
    webhook = await store.webhooks.create_webhook(new, limit=2)
    assert webhook is not None
    return webhook


async def take(store: WebhookStores, webhook: Webhook, *, now: int = LATER) -> list[Delivery]:
    """Deliver everything that is due, in the order in which it can be delivered."""
    taken: list[Delivery] = []
    while due := await store.webhooks.due_deliveries(webhook.key, now, 10):
        for delivery in due:
            assert await store.webhooks.record_attempt(delivery, attempt("delivered"))
        taken += due
    return taken


def attempt(state: DeliveryState, *, at: int = LATER, next_at: int = LATER) -> DeliveryAttempt:
    """Return an attempt that ended with this state."""
    return DeliveryAttempt(at=at, state=state, next_attempt_at=next_at, response_status=500, error="why")


def data_of(delivery: Delivery) -> dict[str, Any]:
    data: dict[str, Any] = msgspec.json.decode(delivery.payload)["data"]
    return data
