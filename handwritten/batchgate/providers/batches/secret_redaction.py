"""Removes an account's credentials from texts of its provider that become messages."""

from __future__ import annotations

from typing import Final

from batchgate.engine.model.provider_call import Account
from batchgate.providers.responses.secret_forms import patterns, url_secrets

_REDACTED: Final = "[key]"


def without_secrets(account: Account, text: str) -> str:
    """Return a text without the key of an account and without the credentials of its URL, in any form."""
    for pattern in patterns((account.api_key or "", *url_secrets(account.base_url))):
        text = pattern.sub(_REDACTED, text)
    return text
