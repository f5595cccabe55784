"""What webhooks need from outside."""

from __future__ import annotations

from msgspec import Struct

from batchgate.engine.ports.cipher import Cipher
from batchgate.engine.ports.webhook_sender import WebhookSender
from batchgate.engine.ports.webhook_store import WebhookStore


class WebhookPorts(Struct, frozen=True, kw_only=True):
    """The ports of `Webhooks` and `WebhookDeliverer`."""

    store: WebhookStore
    sender: WebhookSender
    cipher: Cipher | None
    """Encrypts and decrypts the secrets of webhooks; None without a master key."""
