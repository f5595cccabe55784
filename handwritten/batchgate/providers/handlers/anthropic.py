"""The handler for servers of the Messages API: Messages rows are sent unchanged, other rows are translated."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from batchgate.engine.model.provider_call import (
    ANTHROPIC_VERSION,
    Account,
    RequestRow,
    UpstreamRequest,
    UpstreamResponse,
)
from batchgate.providers.dialects.translation import translate_request
from batchgate.providers.handlers.answers import decode_answer
from batchgate.providers.handlers.pass_through import unchanged_request

TRANSLATED_VERSION: Final = "2026-10-21"
"""The anthropic-version of translated rows: the first that supports messages with the role system."""

FORWARDED_HEADERS: Final = ("anthropic-beta", "anthropic-user-profile-id")
"""Headers of the create call that are sent with every request."""


class AnthropicHandler:
    """Calls ``/v1/messages`` below the ``base_url`` of an account; ``now`` returns Unix seconds."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now

    def encode(self, account: Account, row: RequestRow) -> UpstreamRequest:
        """Return the call; raises `RequestError` that names an invalid or untranslatable field."""
        headers = {"content-type": "application/json", **self.row_headers(row)}
        if account.api_key:
            headers["x-api-key"] = account.api_key
        url = f"{account.base_url}/v1/messages"
        return UpstreamRequest(url=url, headers=headers, body=self.body(row), timeout=account.timeout)

    def row_headers(self, row: RequestRow) -> dict[str, str]:
        """Return the headers of the call that depend on the row: its version, and those that the caller sent."""
        version = ANTHROPIC_VERSION if row.kind == "messages" else TRANSLATED_VERSION
        headers = {"anthropic-version": row.headers.get("anthropic-version", version)}
        for name in FORWARDED_HEADERS:
            if name in row.headers:
                headers[name] = row.headers[name]
        return headers

    def body(self, row: RequestRow) -> bytes:
        """Return the body of the call; raises as `encode` does."""
        if row.kind == "messages":
            return unchanged_request(row)
        return translate_request(row.params, kind=row.kind, to="messages", model=row.model)

    def decode(self, row: RequestRow, response: UpstreamResponse) -> bytes:
        """Return the answer, of the row's kind; the Message of a Messages row stays unchanged."""
        return decode_answer(row, response, "messages", self._now())
