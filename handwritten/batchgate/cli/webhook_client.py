"""The commands' client for webhooks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

from batchgate.cli.gateway_client import GatewayClient, encoded
from batchgate_api.gateway import (
    CreatedWebhook,
    CreateWebhook,
    DeletedWebhook,
    RotateWebhook,
    Webhook,
    WebhookDelivery,
    WebhookDeliveryList,
    WebhookList,
)

T = TypeVar("T")

WEBHOOKS: Final = "/api/webhooks"


class WebhookClient:
    """Manages webhooks through a `GatewayClient`."""

    def __init__(self, client: GatewayClient) -> None:
        self._client = client

    async def create(self, options: CreateWebhook) -> CreatedWebhook:
        """Create a webhook."""
        return await self._client.send("POST", WEBHOOKS, options, CreatedWebhook)

    async def list(self) -> Sequence[Webhook]:
        """Read all webhooks."""
        return (await self._client.ask("GET", WEBHOOKS, WebhookList)).data

    async def delete(self, webhook_id: str) -> DeletedWebhook:
        """Delete a webhook."""
        return await self._client.ask("DELETE", _path(webhook_id), DeletedWebhook)

    async def rotate(self, webhook_id: str, overlap: int) -> CreatedWebhook:
        """Replace the secret of a webhook."""
        return await self._client.send(
            "POST", _path(webhook_id, "rotate"), RotateWebhook(overlap_seconds=overlap), CreatedWebhook
        )

    async def test(self, webhook_id: str) -> WebhookDelivery:
        """Send a test event."""
        return await self._client.ask("POST", _path(webhook_id, "test"), WebhookDelivery)

    async def deliveries(self, webhook_id: str, state: str | None, limit: int) -> Sequence[WebhookDelivery]:
        """Read the latest deliveries of a webhook."""
        query = {"limit": str(limit)} | ({} if state is None else {"state": state})
        return (await self._client.ask("GET", _path(webhook_id, "deliveries"), WebhookDeliveryList, query=query)).data

    async def replay(self, webhook_id: str, event_id: str) -> WebhookDelivery:
        """Deliver an event again."""
        return await self._client.ask("POST", _path(webhook_id, "deliveries", event_id, "replay"), WebhookDelivery)


def _path(*parts: str) -> str:
    return "/".join((WEBHOOKS, *map(encoded, parts)))
