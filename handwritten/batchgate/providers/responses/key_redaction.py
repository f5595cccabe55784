"""Takes an account's own key, whatever it looks like, out of the errors that its provider answers with."""

from __future__ import annotations

import re
from typing import Final

from msgspec import structs

from batchgate.engine.model.errors import RequestError
from batchgate.engine.model.provider_call import Account, RequestRow, UpstreamRequest, UpstreamResponse
from batchgate.engine.ports.provider import ProviderHandler

MIN_SECRET_LENGTH: Final = 8
"""Characters below which a key may be part of ordinary words."""
MAX_REMEMBERED_KEYS: Final = 4
"""Keys that are remembered: one that was replaced may still be named by a call that was under way."""
REDACTED: Final = "[key]"


class KeyRedactingHandler:
    """A provider's handler whose errors never quote the keys that its calls went with; answers pass untouched."""

    def __init__(self, handler: ProviderHandler) -> None:
        self._handler = handler
        self._keys: dict[str, re.Pattern[str] | None] = {}

    def encode(self, account: Account, row: RequestRow) -> UpstreamRequest:
        """Write the call as the handler does, and remember its key."""
        if account.api_key and account.api_key not in self._keys:
            self._keys[account.api_key] = _pattern(account.api_key)
            if len(self._keys) > MAX_REMEMBERED_KEYS:
                del self._keys[next(iter(self._keys))]
        return self._handler.encode(account, row)

    def decode(self, row: RequestRow, response: UpstreamResponse) -> bytes:
        """Read the answer as the handler does; an error is read again from a response without the keys.

        From the response and not from the message, which may have been cut in the middle of a key.
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
        return RequestError(error.kind, "The provider's answer quotes the account's key and is not shown.")

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
    r"""Make what finds a key in JSON too, where a slash may be written ``\/`` or ``\u002F``.

    A short one is found as a word of its own only, and not at all if it has letters only: that is what servers that
    need no key are given, such as ``EMPTY``.
    """
    if len(key) < MIN_SECRET_LENGTH and key.isalpha():
        return None
    escaped = "".join(rf"(?:\\*{re.escape(character)}|\\+u(?i:{ord(character):04x}))" for character in key)
    return re.compile(escaped if len(key) >= MIN_SECRET_LENGTH else rf"(?<!\w){escaped}(?!\w)")
