"""The part of the store that keeps webhooks and the deliveries of events.

The store writes a delivery for each webhook that wants an event in the transaction that changes the batch, so that no
event is lost and none is sent for a change that was not stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from batchgate.engine.model.batch_event import SampleEvent
from batchgate.engine.model.webhook import (
    Delivery,
    DeliveryAttempt,
    DeliveryPage,
    DeliveryState,
    EventType,
    NewWebhook,
    Webhook,
)


class WebhookStore(Protocol):
    """Keeps webhooks; every write is durable when its call returns. Raises `StoreError`."""

    async def create_webhook(self, new: NewWebhook, *, limit: int) -> Webhook | None:
        """Store a webhook; None if its workspace has as many as ``limit``."""
        ...

    async def find_webhook(self, workspace: str, webhook_id: str) -> Webhook | None:
        """Read a webhook of a workspace."""
        ...

    async def list_webhooks(self, workspace: str) -> Sequence[Webhook]:
        """Read the webhooks of a workspace, the oldest first."""
        ...

    async def update_webhook(
        self, workspace: str, webhook_id: str, *, url: str | None, events: Sequence[EventType] | None, now: int
    ) -> Webhook | None:
        """Change what is not None, and return the webhook; None if there is none. What is pending uses the new URL."""
        ...

    async def rotate_webhook(
        self, workspace: str, webhook_id: str, *, secret: bytes, previous_until: int, now: int
    ) -> Webhook | None:
        """Replace the secret; the present one becomes the previous one. Returns None if there is no such webhook."""
        ...

    async def delete_webhook(self, workspace: str, webhook_id: str) -> bool:
        """Delete a webhook and its deliveries; False if there is none."""
        ...

    async def due_webhooks(self, now: int) -> Sequence[Webhook]:
        """Read the webhooks that have a delivery which can be attempted now."""
        ...

    async def due_deliveries(self, webhook_key: int, now: int, limit: int) -> Sequence[Delivery]:
        """Read deliveries that can be attempted now: of each batch, the oldest one that is pending, if it is due."""
        ...

    async def record_attempt(self, delivery: Delivery, attempt: DeliveryAttempt) -> bool:
        """Store how an attempt ended; False if the delivery has changed since it was read."""
        ...

    async def add_sample_event(self, webhook_key: int, event: SampleEvent) -> Delivery | None:
        """Add a delivery of a test event, and return it; None if the webhook was deleted."""
        ...

    async def list_deliveries(
        self, webhook_key: int, *, after: int | None, state: DeliveryState | None, limit: int
    ) -> DeliveryPage:
        """Read deliveries, newest first: those with a smaller key than ``after``, and with this state."""
        ...

    async def find_delivery(self, webhook_key: int, event_id: str) -> Delivery | None:
        """Read the delivery of an event."""
        ...

    async def replay_delivery(self, webhook_key: int, event_id: str, now: int) -> Delivery | None:
        """Make a delivery pending and due again, as if its event had just happened; None if there is none."""
        ...

    async def drop_deliveries(self, created_before: int) -> None:
        """Delete old deliveries that are not pending."""
        ...
