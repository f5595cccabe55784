"""Anthropic, and whatever else speaks Messages: rows of Messages pass as they are, others are translated."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Literal

import msgspec
from msgspec import Raw, Struct

from batchgate.engine.model.decoding_errors import DECODING_ERRORS
from batchgate.engine.model.provider_call import Account, RequestRow, UpstreamRequest, UpstreamResponse
from batchgate.providers.dialects.translation import AnswerContext, translate_answer, translate_request
from batchgate.providers.handlers.pass_through import unchanged_answer, unchanged_request
from batchgate.providers.responses.provider_errors import unexpected_body_error, upstream_error

DEFAULT_VERSION: Final = "2023-06-01"
"""The anthropic-version of a row whose create call named none."""

TRANSLATED_VERSION: Final = "2026-10-21"
"""The anthropic-version of translated rows: the first in which there are turns of the role system."""

FORWARDED_HEADERS: Final = ("anthropic-beta", "anthropic-user-profile-id")
"""Headers of the create call that go along with every request."""


class _MessagePeek(Struct):
    """What makes an answer a Message."""

    type: Literal["message"]
    role: Literal["assistant"]
    content: list[Raw]


_MESSAGE: Final = msgspec.json.Decoder(_MessagePeek)


class AnthropicHandler:
    """Speaks Messages to an account whose ``base_url`` stands before ``/v1``; ``now`` gives Unix seconds."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now

    def encode(self, account: Account, row: RequestRow) -> UpstreamRequest:
        """Write the call; raises `RequestError` naming the field that is wrong or cannot be said."""
        return UpstreamRequest(
            url=f"{account.base_url}/v1/messages",
            headers=_headers(account, row),
            body=_body(row),
            timeout=account.timeout,
        )

    def decode(self, row: RequestRow, response: UpstreamResponse) -> bytes:
        """Read the answer as one of the row's kind; a Message for a row of Messages stays as it came."""
        if response.status != 200:
            raise upstream_error(response)
        try:
            message = unchanged_answer(response.body, _MESSAGE.decode)
            if row.kind == "messages":
                return message
            return translate_answer(message, kind="messages", to=row.kind, context=self._answer_context(row))
        except DECODING_ERRORS as error:
            raise unexpected_body_error(response, "messages", error) from error

    def _answer_context(self, row: RequestRow) -> AnswerContext:
        request = row.params if row.kind == "responses" else None
        return AnswerContext(model=row.model, custom_id=row.custom_id, created=int(self._now()), request=request)


def _headers(account: Account, row: RequestRow) -> dict[str, str]:
    version = DEFAULT_VERSION if row.kind == "messages" else TRANSLATED_VERSION
    headers = {
        "content-type": "application/json",
        "anthropic-version": row.headers.get("anthropic-version", version),
    }
    if account.api_key:
        headers["x-api-key"] = account.api_key
    headers.update((name, row.headers[name]) for name in FORWARDED_HEADERS if name in row.headers)
    return headers


def _body(row: RequestRow) -> bytes:
    if row.kind == "messages":
        return unchanged_request(row)
    return translate_request(row.params, kind=row.kind, to="messages", model=row.model)
