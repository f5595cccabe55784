"""Removes an account's API key from the errors that its provider returns."""

from __future__ import annotations

import re
from typing import Final

from msgspec import structs

from batchgate.engine.model.errors import RequestError
from batchgate.engine.model.provider_call import Account, RequestRow, UpstreamRequest, UpstreamResponse
from batchgate.engine.ports.provider import ProviderHandler

MIN_SECRET_LENGTH: Final = 8
"""Minimum length of a key that is redacted anywhere; a shorter one could be part of a word."""
MAX_REMEMBERED_KEYS: Final = 4
"""Number of remembered keys: a call in flight may still have a key that was replaced."""
REDACTED: Final = "[key]"


class KeyRedactingHandler:
    """Wraps a `ProviderHandler` so that its errors contain no key of its calls; answers stay unchanged."""

    def __init__(self, handler: ProviderHandler) -> None:
        self._handler = handler
        self._keys: dict[str, re.Pattern[str] | None] = {}

    def encode(self, account: Account, row: RequestRow) -> UpstreamRequest:
        """Return the call of the wrapped handler, and remember its key."""
        if account.api_key and account.api_key not in self._keys:
            self._keys[account.api_key] = _pattern(account.api_key)
            if len(self._keys) > MAX_REMEMBERED_KEYS:
                del self._keys[next(iter(self._keys))]
        return self._handler.encode(account, row)

    def decode(self, row: RequestRow, response: UpstreamResponse) -> bytes:
        """Return the answer of the wrapped handler; decode an error again from a response without the keys.

        The response is redacted, not the message: a message may have been shortened in the middle of a key.
        """
        try:
            return self._handler.decode(row, response)
        except RequestError as error:
            redacted = self._redact_response(response)
            if redacted == response:
                raise
            original = error
        raise self._redacted_error(row, redacted, original)

    def _redacted_error(self, row: RequestRow, redacted: UpstreamResponse, error: RequestError) -> RequestError:
        try:
            self._handler.decode(row, redacted)
        except RequestError as redacted_error:
            return redacted_error
        return RequestError(error.kind, "The provider's error contains the account's key, so it is not shown.")

    def _redact_response(self, response: UpstreamResponse) -> UpstreamResponse:
        headers = {name: self._redact(value) for name, value in response.headers.items()}
        body = self._redact(response.body.decode(errors="surrogateescape")).encode(errors="surrogateescape")
        return structs.replace(response, headers=headers, body=body)

    def _redact(self, text: str) -> str:
        for pattern in self._keys.values():
            if pattern is not None:
                text = pattern.sub(REDACTED, text)
        return text


def _pattern(key: str) -> re.Pattern[str] | None:
    r"""Return a pattern that finds a key, in JSON too, where a slash may be written ``\/`` or ``\u002F``.

    A short key is found only as a separate word. A short key of letters only is not redacted: it is a placeholder for
    servers that need no key, such as ``EMPTY``.
    """
    if len(key) < MIN_SECRET_LENGTH and key.isalpha():
        return None
    escaped = "".join(rf"(?:\\*{re.escape(character)}|\\+u(?i:{ord(character):04x}))" for character in key)
    return re.compile(escaped if len(key) >= MIN_SECRET_LENGTH else rf"(?<!\w){escaped}(?!\w)")
