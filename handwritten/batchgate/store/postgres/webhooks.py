"""`WebhookStore` on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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
from batchgate.store.postgres.connection import Params, PostgresPool, Row, Transaction, is_storable
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


class PostgresWebhooks:
    """Webhooks and their deliveries, in a PostgreSQL database."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool

    async def create_webhook(self, new: NewWebhook, *, limit: int) -> Webhook | None:
        """Store a webhook; None if its workspace has too many."""
        params = new_webhook_row(new) | {"limit": limit}

        async def insert(transaction: Transaction) -> Row | None:
            # Two creates at once would both count one webhook too few.
            await transaction.execute("lock_workspace_order", {"workspace": new.workspace})
            return await transaction.fetch_one("insert_webhook", params)

        return _webhook(await self._pool.write(insert))

    async def find_webhook(self, workspace: str, webhook_id: str) -> Webhook | None:
        """Read a webhook of a workspace."""
        return _webhook(await self._pool.find_one("find_webhook", {"workspace": workspace, "id": webhook_id}))

    async def list_webhooks(self, workspace: str) -> Sequence[Webhook]:
        """Read the webhooks of a workspace, the oldest first."""
        return [webhook_from_row(row) for row in await self._pool.fetch_all("list_webhooks", {"workspace": workspace})]

    async def update_webhook(
        self, workspace: str, webhook_id: str, *, url: str | None, events: Sequence[EventType] | None, now: int
    ) -> Webhook | None:
        """Change what is not None."""
        params = {"workspace": workspace, "id": webhook_id, "url": url, "events": events_text(events), "now": now}
        return _webhook(await self._write("update_webhook", params, repeatable=True))

    async def rotate_webhook(
        self, workspace: str, webhook_id: str, *, secret: bytes, previous_until: int, now: int
    ) -> Webhook | None:
        """Replace the secret; the present one becomes the previous one."""
        params = {"workspace": workspace, "id": webhook_id, "secret": secret, "previous_until": previous_until}
        return _webhook(await self._write("rotate_webhook", params | {"now": now}))

    async def delete_webhook(self, workspace: str, webhook_id: str) -> bool:
        """Delete a webhook and its deliveries."""
        return await self._write("delete_webhook", {"workspace": workspace, "id": webhook_id}) is not None

    async def due_webhooks(self, now: int) -> Sequence[Webhook]:
        """Read the webhooks that have a delivery which can be attempted now."""
        return [webhook_from_row(row) for row in await self._pool.fetch_all("due_webhooks", {"now": now})]

    async def due_deliveries(self, webhook_key: int, now: int, limit: int) -> Sequence[Delivery]:
        """Read deliveries that can be attempted now."""
        params = {"webhook_key": webhook_key, "now": now, "limit": limit}
        return [delivery_from_row(row) for row in await self._pool.fetch_all("due_deliveries", params)]

    async def record_attempt(self, delivery: Delivery, attempt: DeliveryAttempt) -> bool:
        """Store how an attempt ended; False if the delivery has changed since it was read."""
        return await self._write("record_attempt", attempt_row(delivery, attempt), repeatable=True) is not None

    async def add_sample_event(self, webhook_key: int, event: SampleEvent) -> Delivery | None:
        """Add a delivery of a test event."""
        return _delivery(await self._write("add_sample_event", sample_event_row(webhook_key, event)))

    async def list_deliveries(
        self, webhook_key: int, *, after: int | None, state: DeliveryState | None, limit: int
    ) -> DeliveryPage:
        """Read deliveries, newest first."""
        params = delivery_list_row(webhook_key, after=after, state=state, limit=limit)
        return delivery_page(await self._pool.fetch_all("list_deliveries", params), limit)

    async def find_delivery(self, webhook_key: int, event_id: str) -> Delivery | None:
        """Read the delivery of an event."""
        params = {"webhook_key": webhook_key, "event_id": event_id}
        return _delivery(await self._pool.find_one("find_delivery", params))

    async def replay_delivery(self, webhook_key: int, event_id: str, now: int) -> Delivery | None:
        """Make a delivery pending and due again."""
        await self._write("replay_delivery", replay_row(webhook_key, event_id, now), repeatable=True)
        return await self.find_delivery(webhook_key, event_id)

    async def drop_deliveries(self, created_before: int) -> None:
        """Delete old deliveries that are not pending."""
        await self._pool.write(lambda t: t.execute("drop_deliveries", {"created_before": created_before}))

    async def _write(self, query: str, params: Params, *, repeatable: bool = False) -> Row | None:
        if not is_storable(*params.values()):
            return None
        return await self._pool.write(lambda transaction: transaction.fetch_one(query, params), repeatable=repeatable)


async def add_events(transaction: Transaction, events: Iterable[BatchEvent]) -> None:
    """Add a delivery of each event for each webhook that wants it, in the transaction that changes the batch."""
    for event in events:
        await transaction.execute("add_event", event_row(event))


def _delivery(row: Row | None) -> Delivery | None:
    return None if row is None else delivery_from_row(row)


def _webhook(row: Row | None) -> Webhook | None:
    return None if row is None else webhook_from_row(row)
