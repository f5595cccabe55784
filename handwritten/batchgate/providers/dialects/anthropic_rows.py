"""Reads and writes rows of Anthropic's dialect: ``{"custom_id", "params"}`` and result lines (batch-apis 1.6)."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from batchgate.engine.model.decoding_errors import DECODING_ERRORS, describe_decoding_error
from batchgate.engine.model.errors import RequestError, UpstreamError
from batchgate.engine.ports.rows import InputRow
from batchgate.providers.dialects.line_separators import escape_line_separators
from batchgate.providers.dialects.row_model import resolve_model
from batchgate_api.anthropic import (
    CanceledResult,
    ErrorBody,
    ErroredResult,
    ErrorResponse,
    ExpiredResult,
    MessageBatchIndividualResponse,
)


class _Line(msgspec.Struct, frozen=True):
    custom_id: str
    params: msgspec.Raw


class _ResultType(msgspec.Struct, frozen=True):
    type: str


class _ResultLine(msgspec.Struct, frozen=True):
    result: _ResultType


_LINE: Final = msgspec.json.Decoder(_Line)
_BEFORE_ID: Final = len(b'{"custom_id":"')
_RESULT_LINE: Final = msgspec.json.Decoder(_ResultLine)
_ENCODER: Final = msgspec.json.Encoder()


class AnthropicRows:
    """`RowFormat` of message batches."""

    def custom_id(self, line: bytes) -> str:
        """Return the custom_id of an input line without parsing it, so that invalid params do not matter.

        Intake writes the custom_id first, and it has no character to escape.
        """
        return line[_BEFORE_ID : line.index(b'"', _BEFORE_ID)].decode()

    def read(self, line: bytes, default_model: str | None = None) -> InputRow:
        """Parse an input line; of the params, only the model is read."""
        try:
            found = _LINE.decode(line)
        except DECODING_ERRORS as error:
            raise RequestError("invalid_request_error", str(describe_decoding_error(error))) from error
        params, model = resolve_model(bytes(found.params), default_model)
        return InputRow(custom_id=found.custom_id, params=params, model=model)

    def succeeded_line(self, custom_id: str, message: bytes) -> bytes:
        """Return the result line of a request that succeeded; of the message, only line separators are escaped."""
        return escape_line_separators(
            b'{"custom_id":"%s","result":{"type":"succeeded","message":%s}}\n' % (custom_id.encode(), message)
        )

    def errored_line(self, custom_id: str, error: RequestError) -> bytes:
        """Return the result line of a request that failed."""
        request_id = error.request_id if isinstance(error, UpstreamError) else None
        body = ErrorBody(type=error.kind, message=error.message)
        return _encode_line(
            custom_id, ErroredResult(error=ErrorResponse(type="error", error=body, request_id=request_id))
        )

    def unfinished_line(self, custom_id: str, ending: Literal["canceled", "expired"]) -> bytes:
        """Return the result line of a request that was canceled or expired."""
        return _encode_line(custom_id, CanceledResult() if ending == "canceled" else ExpiredResult())

    def expired_line(self, custom_id: str, reason: str) -> bytes | None:  # noqa: ARG002 - it has no room for a reason
        """Return None: an expired result has only its type."""
        return None

    def is_expired(self, line: bytes) -> bool:
        """Return whether a result line is of a request that expired."""
        return _RESULT_LINE.decode(line).result.type == "expired"

    def is_success(self, line: bytes) -> bool:
        """Return whether a result line is of a request that succeeded, without parsing the message."""
        return _RESULT_LINE.decode(line).result.type == "succeeded"


def _encode_line(custom_id: str, result: ErroredResult | CanceledResult | ExpiredResult) -> bytes:
    line = _ENCODER.encode(MessageBatchIndividualResponse(custom_id=custom_id, result=result)) + b"\n"
    return escape_line_separators(line)
