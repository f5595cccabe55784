"""Webhooks of a workspace: the operations that the HTTP API calls."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from batchgate.engine.model.batch_event import sample_event
from batchgate.engine.model.clock import MICROSECONDS, Clock
from batchgate.engine.model.errors import QuotaExceeded, RefusedError
from batchgate.engine.model.ids import new_id
from batchgate.engine.model.webhook import (
    MAX_WEBHOOKS,
    Delivery,
    DeliveryPage,
    DeliveryState,
    EventType,
    NewWebhook,
    Webhook,
)
from batchgate.engine.tenancy.secrets import NO_MASTER_KEY
from batchgate.engine.webhooks.signing import cipher_name, new_signing_secret
from batchgate.engine.webhooks.webhook_ports import WebhookPorts

logger = logging.getLogger(__name__)


class Webhooks:
    """Manages webhooks and shows what they got; callers never see those of other workspaces."""

    def __init__(self, ports: WebhookPorts, clock: Clock) -> None:
        self._store = ports.store
        self._sender = ports.sender
        self._cipher = ports.cipher
        self._clock = clock

    async def create(self, workspace: str, url: str | None, events: Sequence[EventType]) -> tuple[Webhook, str]:
        """Store a webhook, and return it with its secret; raises `RefusedError`."""
        if url is not None:
            self.check_url(url)
        webhook_id, secret = new_id("whk"), new_signing_secret()
        new = NewWebhook(
            id=webhook_id,
            workspace=workspace,
            url=url,
            events=tuple(dict.fromkeys(events)),
            secret=self._encrypt(webhook_id, secret),
            created_at=self._clock.now(),
        )
        webhook = await self._store.create_webhook(new, limit=MAX_WEBHOOKS)
        if webhook is None:
            raise QuotaExceeded(workspace, "webhooks", f"{MAX_WEBHOOKS}, and it has as many")
        logger.info("webhook %s created", webhook.id, extra={"action": "webhook_created", **_fields(webhook)})
        return webhook, secret

    async def find(self, workspace: str, webhook_id: str) -> Webhook:
        """Return a webhook; raises `RefusedError` if the workspace has none with this id."""
        return _required(await self._store.find_webhook(workspace, webhook_id), webhook_id)

    async def list(self, workspace: str) -> Sequence[Webhook]:
        """Return the webhooks of a workspace, the oldest first."""
        return await self._store.list_webhooks(workspace)

    async def update(
        self, workspace: str, webhook_id: str, *, url: str | None, events: Sequence[EventType] | None
    ) -> Webhook:
        """Change what is not None; what is pending goes to the new URL."""
        if url is not None:
            self.check_url(url)
        chosen = None if events is None else tuple(dict.fromkeys(events))
        updated = await self._store.update_webhook(workspace, webhook_id, url=url, events=chosen, now=self._clock.now())
        webhook = _required(updated, webhook_id)
        logger.info("webhook %s changed", webhook.id, extra={"action": "webhook_updated", **_fields(webhook)})
        return webhook

    async def delete(self, workspace: str, webhook_id: str) -> None:
        """Delete a webhook; what is pending is not delivered."""
        webhook = await self.find(workspace, webhook_id)
        if not await self._store.delete_webhook(workspace, webhook_id):
            raise _not_found(webhook_id)
        logger.info("webhook %s deleted", webhook.id, extra={"action": "webhook_deleted", **_fields(webhook)})

    async def rotate(self, workspace: str, webhook_id: str, overlap: int) -> tuple[Webhook, str]:
        """Replace the secret, and return the new one; both sign for ``overlap`` seconds."""
        secret, now = new_signing_secret(), self._clock.now()
        rotated = await self._store.rotate_webhook(
            workspace,
            webhook_id,
            secret=self._encrypt(webhook_id, secret),
            previous_until=now + overlap * MICROSECONDS,
            now=now,
        )
        webhook = _required(rotated, webhook_id)
        logger.info("webhook %s rotated", webhook.id, extra={"action": "webhook_rotated", **_fields(webhook)})
        return webhook, secret

    async def test(self, workspace: str, webhook_id: str) -> Delivery:
        """Send a test event to a webhook, and return its delivery."""
        webhook = await self.find(workspace, webhook_id)
        if webhook.url is None:
            message = "it has no URL of its own to test; create a batch that names one"
            raise RefusedError("invalid_request_error", message)
        delivery = await self._store.add_sample_event(webhook.key, sample_event(self._clock.now()))
        if delivery is None:
            raise _not_found(webhook_id)
        return delivery

    async def deliveries(
        self, workspace: str, webhook_id: str, *, after: str | None, state: DeliveryState | None, limit: int
    ) -> DeliveryPage:
        """Return deliveries of a webhook, newest first; ``after`` is the event of the last one of the page before."""
        webhook = await self.find(workspace, webhook_id)
        last = None if after is None else await self._store.find_delivery(webhook.key, after)
        if after is not None and last is None:
            message = f"after: the webhook has no delivery of the event {after!r}"
            raise RefusedError("invalid_request_error", message, param="after")
        key = None if last is None else last.key
        return await self._store.list_deliveries(webhook.key, after=key, state=state, limit=limit)

    async def replay(self, workspace: str, webhook_id: str, event_id: str) -> Delivery:
        """Deliver an event again, whether it was delivered, has failed or is pending."""
        webhook = await self.find(workspace, webhook_id)
        delivery = await self._store.replay_delivery(webhook.key, event_id, self._clock.now())
        if delivery is None:
            raise RefusedError("not_found_error", f"the webhook has no delivery of the event {event_id!r}")
        fields = {"action": "webhook_replayed", "event": event_id, **_fields(webhook)}
        logger.info("event %s is delivered again", event_id, extra=fields)
        return delivery

    def check_url(self, url: str) -> None:
        """Raise `RefusedError` for a URL that would never be called."""
        refusal = self._sender.refusal(url)
        if refusal is not None:
            raise RefusedError("invalid_request_error", f"url: {refusal}", param="url")

    async def check_url_of_batch(self, workspace: str, url: str) -> None:
        """Raise `RefusedError` for the URL of a batch that would never be called, or whose events no secret signs."""
        refusal = await self.refusal_of_batch(workspace, url)
        if refusal is not None:
            raise RefusedError("invalid_request_error", f"webhook: {refusal}", param="webhook")

    async def refusal_of_batch(self, workspace: str, url: str) -> str | None:
        """Return why the URL of a batch would never be called, or that no secret signs its events; None otherwise."""
        refusal = self._sender.refusal(url)
        if refusal is None and all(hook.url is not None for hook in await self._store.list_webhooks(workspace)):
            return "the workspace has no webhook without a URL, whose secret would sign the events; create one"
        return refusal

    def _encrypt(self, webhook_id: str, secret: str) -> bytes:
        if self._cipher is None:
            raise RefusedError("invalid_request_error", NO_MASTER_KEY, code="no_master_key")
        return self._cipher.encrypt(cipher_name(webhook_id), secret)


def _fields(webhook: Webhook) -> dict[str, str]:
    return {"webhook": webhook.id, "workspace": webhook.workspace}


def _required(webhook: Webhook | None, webhook_id: str) -> Webhook:
    if webhook is None:
        raise _not_found(webhook_id)
    return webhook


def _not_found(webhook_id: str) -> RefusedError:
    return RefusedError("not_found_error", f"there is no webhook {webhook_id!r}")
