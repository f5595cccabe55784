"""`WebhookStore` on a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from batchgate.engine.model.batch_event import BatchEvent, SampleEvent
from batchgate.engine.model.webhook import (
    Delivery,
    DeliveryAttempt,
    DeliveryPage,
    DeliveryState,
    EventType,
    NewWebhook,
    Webhook,
)
from batchgate.store.queries import load_queries
from batchgate.store.sqlite.connection import SqliteFile
from batchgate.store.webhook_records import (
    attempt_row,
    delivery_from_row,
    delivery_list_row,
    delivery_page,
    event_row,
    events_text,
    new_webhook_row,
    replay_row,
    sample_event_row,
    webhook_from_row,
)

QUERIES: Final = load_queries("batchgate.store.sqlite", "webhooks.sql")


class SqliteWebhooks:
    """Webhooks and their deliveries, in a SQLite file."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    async def create_webhook(self, new: NewWebhook, *, limit: int) -> Webhook | None:
        """Store a webhook; None if its workspace has too many."""
        return _first(await self._write("insert_webhook", new_webhook_row(new) | {"limit": limit}))

    async def find_webhook(self, workspace: str, webhook_id: str) -> Webhook | None:
        """Read a webhook of a workspace."""
        return _first(await self._read("find_webhook", {"workspace": workspace, "id": webhook_id}))

    async def list_webhooks(self, workspace: str) -> Sequence[Webhook]:
        """Read the webhooks of a workspace, the oldest first."""
        return [webhook_from_row(row) for row in await self._read("list_webhooks", {"workspace": workspace})]

    async def update_webhook(
        self, workspace: str, webhook_id: str, *, url: str | None, events: Sequence[EventType] | None, now: int
    ) -> Webhook | None:
        """Change what is not None."""
        params = {"workspace": workspace, "id": webhook_id, "url": url, "events": events_text(events), "now": now}
        return _first(await self._write("update_webhook", params))

    async def rotate_webhook(
        self, workspace: str, webhook_id: str, *, secret: bytes, previous_until: int, now: int
    ) -> Webhook | None:
        """Replace the secret; the present one becomes the previous one."""
        params = {"workspace": workspace, "id": webhook_id, "secret": secret, "previous_until": previous_until}
        return _first(await self._write("rotate_webhook", params | {"now": now}))

    async def delete_webhook(self, workspace: str, webhook_id: str) -> bool:
        """Delete a webhook and its deliveries."""
        return bool(await self._write("delete_webhook", {"workspace": workspace, "id": webhook_id}))

    async def due_webhooks(self, now: int) -> Sequence[Webhook]:
        """Read the webhooks that have a delivery which can be attempted now."""
        return [webhook_from_row(row) for row in await self._read("due_webhooks", {"now": now})]

    async def due_deliveries(self, webhook_key: int, now: int, limit: int) -> Sequence[Delivery]:
        """Read deliveries that can be attempted now."""
        params = {"webhook_key": webhook_key, "now": now, "limit": limit}
        return [delivery_from_row(row) for row in await self._read("due_deliveries", params)]

    async def record_attempt(self, delivery: Delivery, attempt: DeliveryAttempt) -> bool:
        """Store how an attempt ended; False if the delivery has changed since it was read."""
        return bool(await self._write("record_attempt", attempt_row(delivery, attempt)))

    async def add_sample_event(self, webhook_key: int, event: SampleEvent) -> Delivery | None:
        """Add a delivery of a test event."""
        return _delivery(await self._write("add_sample_event", sample_event_row(webhook_key, event)))

    async def list_deliveries(
        self, webhook_key: int, *, after: int | None, state: DeliveryState | None, limit: int
    ) -> DeliveryPage:
        """Read deliveries, newest first."""
        params = delivery_list_row(webhook_key, after=after, state=state, limit=limit)
        return delivery_page(await self._read("list_deliveries", params), limit)

    async def find_delivery(self, webhook_key: int, event_id: str) -> Delivery | None:
        """Read the delivery of an event."""
        return _delivery(await self._read("find_delivery", {"webhook_key": webhook_key, "event_id": event_id}))

    async def replay_delivery(self, webhook_key: int, event_id: str, now: int) -> Delivery | None:
        """Make a delivery pending and due again."""
        await self._write("replay_delivery", replay_row(webhook_key, event_id, now))
        return await self.find_delivery(webhook_key, event_id)

    async def drop_deliveries(self, created_before: int) -> None:
        """Delete old deliveries that are not pending."""
        await self._write("drop_deliveries", {"created_before": created_before})

    async def _read(self, query: str, params: Mapping[str, object]) -> list[sqlite3.Row]:
        return await self._file.read(lambda connection: connection.execute(QUERIES[query], params).fetchall())

    async def _write(self, query: str, params: Mapping[str, object]) -> list[sqlite3.Row]:
        return await self._file.write(lambda connection: connection.execute(QUERIES[query], params).fetchall())


def add_events(connection: sqlite3.Connection, events: Iterable[BatchEvent]) -> None:
    """Add a delivery of each event for each webhook that wants it, in the transaction that changes the batch."""
    connection.executemany(QUERIES["add_event"], [event_row(event) for event in events])


def _delivery(rows: Sequence[sqlite3.Row]) -> Delivery | None:
    return delivery_from_row(rows[0]) if rows else None


def _first(rows: Sequence[sqlite3.Row]) -> Webhook | None:
    return webhook_from_row(rows[0]) if rows else None
