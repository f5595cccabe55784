"""Anthropic, and whatever else speaks Messages: the rows are already in its dialect and pass as they are."""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from batchgate.engine.errors import RequestError, Untranslatable, UpstreamUnreachable
from batchgate.engine.upstream import Account, RequestRow, UpstreamRequest, UpstreamResponse
from batchgate.engine.validation import DECODING_ERRORS, describe_decoding
from batchgate.providers.dialects.rules import NO_EMPTY_ANSWER, NO_STREAM
from batchgate.providers.upstream_errors import excerpt, upstream_error

DEFAULT_VERSION: Final = "2023-06-01"
"""The anthropic-version of a row whose create call named none."""

FORWARDED: Final = ("anthropic-beta", "anthropic-user-profile-id")
"""Headers of the create call that go along with every request."""


class _ParamsPeek(Struct):
    """What the gateway must know of the params; the rest is Anthropic's to judge."""

    model: Raw
    stream: Raw | UnsetType = UNSET
    max_tokens: Raw | UnsetType = UNSET


class _MessagePeek(Struct):
    """What makes an answer a Message."""

    type: Literal["message"]
    role: Literal["assistant"]
    content: list[Raw]


_PARAMS: Final = msgspec.json.Decoder(_ParamsPeek)
_FIELDS: Final = msgspec.json.Decoder(dict[str, Raw])
_MESSAGE: Final = msgspec.json.Decoder(_MessagePeek)


class AnthropicHandler:
    """Speaks Messages to an account whose ``base_url`` stands before ``/v1``."""

    def encode(self, account: Account, row: RequestRow) -> UpstreamRequest:
        """Write the call; the params stay byte for byte unless the model carried an account's prefix."""
        return UpstreamRequest(
            url=f"{account.base_url}/v1/messages",
            headers=_headers(account, row),
            body=_body(row),
            timeout=account.timeout,
        )

    def decode(self, row: RequestRow, response: UpstreamResponse) -> bytes:  # noqa: ARG002
        """Keep the Message as it came, in one line."""
        if response.status != 200:
            raise upstream_error(response)
        try:
            _MESSAGE.decode(response.body)
            if not response.body.isascii():
                response.body.decode()  # what the peek passes over is not checked by it
        except DECODING_ERRORS as error:
            message = f"The provider answered 200, but not with a Message ({describe_decoding(error)}): "
            raise UpstreamUnreachable(
                "api_error", message + excerpt(response.body), status=200, retry_safe=True
            ) from error
        return _one_line(response.body)


def _headers(account: Account, row: RequestRow) -> dict[str, str]:
    headers = {
        "content-type": "application/json",
        "anthropic-version": row.headers.get("anthropic-version", DEFAULT_VERSION),
    }
    if account.api_key:
        headers["x-api-key"] = account.api_key
    headers.update((name, row.headers[name]) for name in FORWARDED if name in row.headers)
    return headers


def _body(row: RequestRow) -> bytes:
    try:
        peek = _PARAMS.decode(row.params)
        model = msgspec.json.encode(row.model)
        rewritten = None if bytes(peek.model) == model else _FIELDS.decode(row.params) | {"model": Raw(model)}
    except DECODING_ERRORS as error:
        raise RequestError("invalid_request_error", str(describe_decoding(error))) from error
    if peek.stream is not UNSET and bytes(peek.stream) == b"true":
        raise Untranslatable("stream", NO_STREAM)
    if peek.max_tokens is not UNSET and bytes(peek.max_tokens) == b"0":
        raise Untranslatable("max_tokens", NO_EMPTY_ANSWER)
    return row.params if rewritten is None else msgspec.json.encode(rewritten)


def _one_line(body: bytes) -> bytes:
    """Make one line of a JSON document; within its strings there are no line ends to be hurt."""
    if b"\n" in body or b"\r" in body:
        body = body.replace(b"\n", b" ").replace(b"\r", b" ")
    return body.strip()
