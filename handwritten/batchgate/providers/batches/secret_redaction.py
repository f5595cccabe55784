"""Removes an account's credentials from texts of its provider that become messages."""

from __future__ import annotations

import re
from typing import Final

from batchgate.engine.model.provider_call import Account
from batchgate.providers.responses.secret_forms import key_secrets, patterns, url_secrets

_REDACTED: Final = "[key]"
_SECRET_OPTION: Final = re.compile("key|token", re.IGNORECASE)
"""Options of a bucket that hold credentials."""


def without_secrets(account: Account, text: str) -> str:
    """Return a text without the key of an account and without the credentials of its URL and bucket, in any form."""
    bucket = (str(value) for name, value in account.batch_options.items() if _SECRET_OPTION.search(name))
    for pattern in patterns((*key_secrets(account.api_key or ""), *url_secrets(account.base_url), *bucket)):
        text = pattern.sub(_REDACTED, text)
    return text
