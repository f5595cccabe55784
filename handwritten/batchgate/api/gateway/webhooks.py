"""Webhooks over HTTP; the secret of one is only in the answer that creates it."""

from __future__ import annotations

from typing import Final

import msgspec
from aiohttp import web

from batchgate.api.binding import value_or_none
from batchgate.api.context import WEBHOOKS, WORKSPACE
from batchgate.engine.model.times import rfc3339, rfc3339_or_none
from batchgate.engine.model.webhook import DEFAULT_EVENTS, Delivery, Webhook
from batchgate_api import gateway, parameters

DEFAULT_OVERLAP: Final = 24 * 3600
"""Seconds for which the secret before a rotation signs too."""
DEFAULT_LIMIT: Final = 20


class WebhooksHandler:
    """`WebhooksHandlers` on the engine."""

    async def create_webhook(
        self,
        request: web.Request,
        parameters: parameters.CreateWebhookParameters,  # noqa: ARG002
        body: gateway.CreateWebhook,
    ) -> gateway.CreatedWebhook:
        """Create a webhook, and return it with its secret."""
        events = value_or_none(body.events) or DEFAULT_EVENTS
        webhook, secret = await request.app[WEBHOOKS].create(request[WORKSPACE], value_or_none(body.url), events)
        return _with_secret(webhook, secret)

    async def list_webhooks(
        self,
        request: web.Request,
        parameters: parameters.ListWebhooksParameters,  # noqa: ARG002
    ) -> gateway.WebhookList:
        """List the webhooks of the caller's workspace."""
        return gateway.WebhookList(
            data=[_view(webhook) for webhook in await request.app[WEBHOOKS].list(request[WORKSPACE])]
        )

    async def get_webhook(self, request: web.Request, parameters: parameters.GetWebhookParameters) -> gateway.Webhook:
        """Return a webhook."""
        return _view(await request.app[WEBHOOKS].find(request[WORKSPACE], parameters.webhook_id))

    async def update_webhook(
        self, request: web.Request, parameters: parameters.UpdateWebhookParameters, body: gateway.UpdateWebhook
    ) -> gateway.Webhook:
        """Change a webhook."""
        url, events = value_or_none(body.url), value_or_none(body.events)
        return _view(
            await request.app[WEBHOOKS].update(request[WORKSPACE], parameters.webhook_id, url=url, events=events)
        )

    async def delete_webhook(
        self, request: web.Request, parameters: parameters.DeleteWebhookParameters
    ) -> gateway.DeletedWebhook:
        """Delete a webhook."""
        await request.app[WEBHOOKS].delete(request[WORKSPACE], parameters.webhook_id)
        return gateway.DeletedWebhook(id=parameters.webhook_id, deleted=True)

    async def rotate_webhook(
        self, request: web.Request, parameters: parameters.RotateWebhookParameters, body: gateway.RotateWebhook
    ) -> gateway.CreatedWebhook:
        """Replace the secret of a webhook, and return the new one."""
        given = value_or_none(body.overlap_seconds)
        overlap = DEFAULT_OVERLAP if given is None else given
        return _with_secret(*await request.app[WEBHOOKS].rotate(request[WORKSPACE], parameters.webhook_id, overlap))

    async def test_webhook(
        self, request: web.Request, parameters: parameters.TestWebhookParameters
    ) -> gateway.WebhookDelivery:
        """Send a test event."""
        return _delivery(await request.app[WEBHOOKS].test(request[WORKSPACE], parameters.webhook_id))

    async def list_webhook_deliveries(
        self, request: web.Request, parameters: parameters.ListWebhookDeliveriesParameters
    ) -> gateway.WebhookDeliveryList:
        """List the deliveries of a webhook, newest first."""
        page = await request.app[WEBHOOKS].deliveries(
            request[WORKSPACE],
            parameters.webhook_id,
            after=value_or_none(parameters.after),
            state=value_or_none(parameters.state),
            limit=value_or_none(parameters.limit) or DEFAULT_LIMIT,
        )
        data = [_delivery(delivery) for delivery in page.deliveries]
        last = data[-1].event_id if data else None
        return gateway.WebhookDeliveryList(data=data, has_more=page.has_more, last_id=last)

    async def replay_webhook_delivery(
        self, request: web.Request, parameters: parameters.ReplayWebhookDeliveryParameters
    ) -> gateway.WebhookDelivery:
        """Deliver an event again."""
        workspace, webhook_id = request[WORKSPACE], parameters.webhook_id
        return _delivery(await request.app[WEBHOOKS].replay(workspace, webhook_id, parameters.event_id))


def _with_secret(webhook: Webhook, secret: str) -> gateway.CreatedWebhook:
    return gateway.CreatedWebhook(**msgspec.structs.asdict(_view(webhook)), secret=secret)


def _delivery(delivery: Delivery) -> gateway.WebhookDelivery:
    return gateway.WebhookDelivery(
        event_id=delivery.event_id,
        type=delivery.type,
        batch_id=delivery.batch_id,
        state=delivery.state,
        attempts=delivery.attempts,
        created_at=rfc3339(delivery.created_at),
        attempted_at=rfc3339_or_none(delivery.attempted_at),
        next_attempt_at=rfc3339(delivery.next_attempt_at) if delivery.state == "pending" else None,
        response_status=delivery.response_status,
        error=delivery.error,
    )


def _view(webhook: Webhook) -> gateway.Webhook:
    return gateway.Webhook(
        id=webhook.id,
        url=webhook.url,
        events=list(webhook.events),
        created_at=rfc3339(webhook.created_at),
        updated_at=rfc3339(webhook.updated_at),
    )
