"""Reads lines of result files in the shape of OpenAI's, as responses of the live API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from batchgate.engine.model.decoding_errors import DECODING_ERRORS
from batchgate.engine.model.provider_call import UpstreamResponse
from batchgate.engine.ports.provider_batches import NativeResult
from batchgate.providers.responses.embedded_errors import DEFAULT_STATUS, status_of_fields

_UNFINISHED: Final[Mapping[str, Literal["expired", "canceled"]]] = {
    "batch_expired": "expired",
    "batch_cancelled": "canceled",
    "batch_canceled": "canceled",
}
"""Codes of requests that did not run."""
_STATUSES: Final[Mapping[str, int]] = {"batch_client_error": 400, "parse_error": 400, "model_not_found": 404}
"""Statuses of codes that belong to batch APIs alone; the others are known from the live APIs."""
_NO_OUTCOME: Final = "The provider's result has neither a response nor an error."


class _Response(Struct, frozen=True):
    status_code: int | str | None = None
    request_id: object = None
    body: Raw | UnsetType = UNSET


class _Line(Struct, frozen=True):
    custom_id: str
    response: _Response | None = None
    error: object = None


_LINE: Final = msgspec.json.Decoder(_Line)


def read_result(line: bytes) -> NativeResult | None:
    """Return what a line says about a request; None for a line that is no result or does not name its request."""
    try:
        read = _LINE.decode(line)
        response = None if read.response is None else _live_response(read.response)
    except DECODING_ERRORS:
        return None
    if response is not None and (response.body or not read.error):
        return NativeResult(row_id=read.custom_id, response=response)
    return result_of_error(read.custom_id, read.error)


def _live_response(response: _Response) -> UpstreamResponse:
    """Return a response with the status of the line; one without a status is an answer."""
    status = 200 if response.status_code == 200 else _status(response.status_code) or 200
    headers = {"x-request-id": response.request_id} if isinstance(response.request_id, str) else {}
    body = b"" if response.body is UNSET else bytes(response.body)
    return UpstreamResponse(status=status, headers=headers, body=body if body.startswith(b"{") else _unpacked(body))


def _unpacked(body: bytes) -> bytes:
    """Return a body that is no object; empty for null. Mistral writes an error as JSON in a text, which is unpacked."""
    return msgspec.json.decode(body, type=str).encode() if body[:1] == b'"' else b"" if body == b"null" else body


def result_of_error(row_id: str, error: object) -> NativeResult:
    """Return the result of a request without a response: it did not run, or its error says why there is none.

    The error is an object or a text. Without a code it counts as one of the server.
    """
    fields = error if isinstance(error, dict) else {"message": error if isinstance(error, str) else _NO_OUTCOME}
    code = fields.get("code")
    word = code if isinstance(code, str) else ""
    if word in _UNFINISHED:
        return NativeResult(row_id=row_id, response=None, unfinished=_UNFINISHED[word])
    status = _STATUSES.get(word) or _status(code) or status_of_fields(fields) or DEFAULT_STATUS
    body = msgspec.json.encode({"error": fields})
    return NativeResult(row_id=row_id, response=UpstreamResponse(status=status, headers={}, body=body))


def _status(code: object) -> int | None:
    """Return a status that is written as a number or, at DeepInfra, as a text."""
    if isinstance(code, str) and code.isascii() and code.isdigit():
        code = int(code)
    return code if type(code) is int and 100 <= code <= 599 else None
