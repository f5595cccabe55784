"""The error formats of the dialects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import msgspec
from msgspec import UNSET

from batchgate.engine.model.errors import ErrorKind, RefusedError
from batchgate_api import anthropic, gateway, openai

Envelope: TypeAlias = Callable[[RefusedError, int, str | None], msgspec.Struct]
"""Builds an error body from the error, its status and the request id."""

OPENAI_TYPES: Final[Mapping[ErrorKind, str]] = {
    "billing_error": "insufficient_quota",
    "rate_limit_error": "rate_limit_error",
    "api_error": "server_error",
    "timeout_error": "server_error",
    "overloaded_error": "server_error",
}
"""Error types of the OpenAI API; all others are invalid_request_error."""


def _anthropic(error: RefusedError, _status: int, request_id: str | None) -> msgspec.Struct:
    details = anthropic.ErrorDetails(error_code=error.code) if error.code else UNSET
    body = anthropic.ErrorBody(type=error.kind, message=error.message, details=details)
    return anthropic.ErrorResponse(type="error", error=body, request_id=request_id)


def _gateway(error: RefusedError, _status: int, request_id: str | None) -> msgspec.Struct:
    body = gateway.GatewayErrorBody(type=error.kind, message=error.message)
    return gateway.GatewayError(type="error", error=body, request_id=request_id)


def _openai(error: RefusedError, _status: int, _request_id: str | None) -> msgspec.Struct:
    kind = OPENAI_TYPES.get(error.kind, "invalid_request_error")
    body = openai.OpenaiErrorBody(message=error.message, type=kind, param=error.param, code=_code(error))
    return openai.OpenaiError(error=body)


def _unified(error: RefusedError, status: int, _request_id: str | None) -> msgspec.Struct:
    body = gateway.UnifiedErrorBody(
        type=error.kind, code=_code(error) or UNSET, message=error.message, param=error.param or UNSET
    )
    faulty = status >= 500
    return gateway.UnifiedError(
        is_bifrost_error=faulty, status_code=status, error=body, extra_fields=msgspec.Raw(b"{}")
    )


def _code(error: RefusedError) -> str | None:
    if error.code is None and error.kind == "authentication_error":
        return "invalid_api_key"
    if error.code is None and error.kind == "invalid_request_error" and error.param is not None:
        return "invalid_value"
    return error.code


ENVELOPES: Final[Mapping[str, Envelope]] = {
    "anthropic": _anthropic,
    "gateway": _gateway,
    "openai": _openai,
    "unified": _unified,
}
