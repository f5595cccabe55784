"""Requests that need no translation: only a few fields are read, and the bytes stay unchanged."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from batchgate.engine.model.decoding_errors import DECODING_ERRORS, describe_decoding_error
from batchgate.engine.model.errors import RequestError, Untranslatable
from batchgate.engine.model.provider_call import RequestRow
from batchgate.providers.dialects.rules import NO_STREAM, NO_ZERO_MAX_TOKENS


class _Peek(Struct):
    """The fields of a request that the gateway checks; the provider checks the rest."""

    model: Raw
    stream: Raw | UnsetType = UNSET
    max_tokens: Raw | UnsetType = UNSET


_PEEK: Final = msgspec.json.Decoder(_Peek)
_FIELDS: Final = msgspec.json.Decoder(dict[str, Raw])


def unchanged_request(row: RequestRow) -> bytes:
    """Return the body of a row byte for byte; only the account's prefix is removed from the model.

    Raises `RequestError` if the body is not a JSON object with a model, or asks for a feature that no batch supports.
    """
    try:
        peek = _PEEK.decode(row.params)
        model = msgspec.json.encode(row.model)
        rewritten = None if bytes(peek.model) == model else _FIELDS.decode(row.params) | {"model": Raw(model)}
    except DECODING_ERRORS as error:
        raise RequestError("invalid_request_error", str(describe_decoding_error(error))) from error
    if peek.stream is not UNSET and bytes(peek.stream) == b"true":
        raise Untranslatable("stream", NO_STREAM)
    if row.kind == "messages" and peek.max_tokens is not UNSET and bytes(peek.max_tokens) == b"0":
        raise Untranslatable("max_tokens", NO_ZERO_MAX_TOKENS)
    return row.params if rewritten is None else msgspec.json.encode(rewritten)
