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
    peek = _checked(row)
    model = msgspec.json.encode(row.model)
    return row.params if bytes(peek.model) == model else msgspec.json.encode(_fields(row) | {"model": Raw(model)})


def fields_without_model(row: RequestRow) -> dict[str, Raw]:
    """Return the fields of a row for a provider that has the model in the URL; each value stays byte for byte.

    Raises `RequestError` as `unchanged_request` does.
    """
    _checked(row)
    fields = _fields(row)
    del fields["model"]
    return fields


def _checked(row: RequestRow) -> _Peek:
    try:
        peek = _PEEK.decode(row.params)
    except DECODING_ERRORS as error:
        raise RequestError("invalid_request_error", str(describe_decoding_error(error))) from error
    if peek.stream is not UNSET and bytes(peek.stream) == b"true":
        raise Untranslatable("stream", NO_STREAM)
    if row.kind == "messages" and peek.max_tokens is not UNSET and bytes(peek.max_tokens) == b"0":
        raise Untranslatable("max_tokens", NO_ZERO_MAX_TOKENS)
    return peek


def _fields(row: RequestRow) -> dict[str, Raw]:
    try:
        return _FIELDS.decode(row.params)
    except DECODING_ERRORS as error:
        raise RequestError("invalid_request_error", str(describe_decoding_error(error))) from error
