"""Rows whose server speaks their dialect: what the gateway need not know is not read, and nothing is written anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from batchgate.engine.model.decoding_errors import DECODING_ERRORS, describe_decoding
from batchgate.engine.model.errors import RequestError, Untranslatable
from batchgate.engine.model.provider_call import RequestRow
from batchgate.providers.dialects.rules import NO_STREAM, NO_ZERO_MAX_TOKENS
from batchgate.providers.dialects.translation import to_single_line


class _Peek(Struct):
    """What the gateway must know of a request; the rest is the provider's to judge."""

    model: Raw
    stream: Raw | UnsetType = UNSET
    max_tokens: Raw | UnsetType = UNSET


_PEEK: Final = msgspec.json.Decoder(_Peek)
_FIELDS: Final = msgspec.json.Decoder(dict[str, Raw])


def unchanged_request(row: RequestRow) -> bytes:
    """Give the body of a row byte for byte, or with another model where its own carried an account's prefix.

    Raises `RequestError` where it is no JSON object with a model, or asks for what no batch can give.
    """
    try:
        peek = _PEEK.decode(row.params)
        model = msgspec.json.encode(row.model)
        rewritten = None if bytes(peek.model) == model else _FIELDS.decode(row.params) | {"model": Raw(model)}
    except DECODING_ERRORS as error:
        raise RequestError("invalid_request_error", str(describe_decoding(error))) from error
    if peek.stream is not UNSET and bytes(peek.stream) == b"true":
        raise Untranslatable("stream", NO_STREAM)
    if row.kind == "messages" and peek.max_tokens is not UNSET and bytes(peek.max_tokens) == b"0":
        raise Untranslatable("max_tokens", NO_ZERO_MAX_TOKENS)
    return row.params if rewritten is None else msgspec.json.encode(rewritten)


def unchanged_answer(body: bytes, read: Callable[[bytes], object]) -> bytes:
    """Give an answer as it came, in one line; raises what ``read`` does, or another of `DECODING_ERRORS`."""
    read(body)
    if not body.isascii():
        body.decode()  # what the reader passes over is not checked by it
    return to_single_line(body)
