"""Takes an account's own key, whatever it looks like, out of the errors that its provider answers with."""

from __future__ import annotations

import re
from typing import Final

from msgspec import structs

from batchgate.engine.model.errors import RequestError
from batchgate.engine.model.provider_call import Account, RequestRow, UpstreamRequest, UpstreamResponse
from batchgate.engine.ports.provider import ProviderHandler

SHORT: Final = 8
"""Characters below which a key may be part of ordinary words."""
KEPT: Final = 4
"""Keys that are remembered: one that was replaced may still be named by a call that was under way."""
SHOWN: Final = "[key]"


class KeyRedactingHandler:
    """A provider's handler whose errors never quote the keys that its calls went with; answers pass untouched."""

    def __init__(self, handler: ProviderHandler) -> None:
        self._handler = handler
        self._keys: dict[str, re.Pattern[str] | None] = {}

    def encode(self, account: Account, row: RequestRow) -> UpstreamRequest:
        """Write the call as the handler does, and remember its key."""
        if account.api_key and account.api_key not in self._keys:
            self._keys[account.api_key] = _pattern(account.api_key)
            if len(self._keys) > KEPT:
                del self._keys[next(iter(self._keys))]
        return self._handler.encode(account, row)

    def decode(self, row: RequestRow, response: UpstreamResponse) -> bytes:
        """Read the answer as the handler does; an error is read again from a response without the keys.

        From the response and not from the message, which may have been cut in the middle of a key.
        """
        try:
            return self._handler.decode(row, response)
        except RequestError as error:
            clean = self._without_keys(response)
            if clean == response:
                raise
            keyless = error
        raise self._read_again(row, clean, keyless)

    def _read_again(self, row: RequestRow, clean: UpstreamResponse, error: RequestError) -> RequestError:
        try:
            self._handler.decode(row, clean)
        except RequestError as again:
            return again
        return RequestError(error.kind, "The provider's answer quotes the account's key and is not shown.")

    def _without_keys(self, response: UpstreamResponse) -> UpstreamResponse:
        headers = {name: self._clean(value) for name, value in response.headers.items()}
        body = self._clean(response.body.decode(errors="surrogateescape")).encode(errors="surrogateescape")
        return structs.replace(response, headers=headers, body=body)

    def _clean(self, text: str) -> str:
        for pattern in self._keys.values():
            if pattern is not None:
                text = pattern.sub(SHOWN, text)
        return text


def _pattern(key: str) -> re.Pattern[str] | None:
    r"""Make what finds a key in JSON too, where a slash may be written ``\/`` or ``\u002F``.

    A short one is found as a word of its own only, and not at all if it has letters only: that is what servers that
    need no key are given, such as ``EMPTY``.
    """
    if len(key) < SHORT and key.isalpha():
        return None
    written = "".join(rf"(?:\\*{re.escape(sign)}|\\+u(?i:{ord(sign):04x}))" for sign in key)
    return re.compile(written if len(key) >= SHORT else rf"(?<!\w){written}(?!\w)")
