"""Signatures of deliveries by the specification Standard Webhooks, and the secrets that make them."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from standardwebhooks import Webhook as Signer

from batchgate.engine.model.clock import MICROSECONDS
from batchgate.engine.model.errors import ConfigurationError
from batchgate.engine.model.webhook import Delivery, Webhook
from batchgate.engine.ports.cipher import Cipher

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32


def new_signing_secret() -> str:
    """Generate a secret in the format of the specification."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def signing_secrets(webhook: Webhook, cipher: Cipher | None, now: int) -> Sequence[str]:
    """Return the secrets that sign now: the present one, and for a while after a rotation the one before.

    Raises `ConfigurationError` without the master key that they were encrypted with.
    """
    if cipher is None:
        raise no_master_key()
    found = [webhook.secret]
    if webhook.previous_secret is not None and now < (webhook.previous_secret_until or 0):
        found.append(webhook.previous_secret)
    return [cipher.decrypt(cipher_name(webhook.id), ciphertext) for ciphertext in found]


def no_master_key() -> ConfigurationError:
    """Return the error of a process that cannot sign."""
    return ConfigurationError("BATCHGATE_MASTER_KEY, master_key_file", "the master key of the secrets of webhooks")


def cipher_name(webhook_id: str) -> str:
    """Return the name under which the secrets of a webhook are encrypted; no secret of an operator has such a name."""
    return f"webhook:{webhook_id}"


def delivery_headers(delivery: Delivery, signers: Sequence[str], now: int) -> Mapping[str, str]:
    """Return the headers of an attempt: its id, which stays the same, its time, and a signature of each secret."""
    seconds = now // MICROSECONDS
    moment = datetime.fromtimestamp(seconds, tz=UTC)
    signatures = [Signer(secret).sign(delivery.event_id, moment, delivery.payload) for secret in signers]
    return {
        "content-type": "application/json",
        "webhook-id": delivery.event_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": " ".join(signatures),
    }
