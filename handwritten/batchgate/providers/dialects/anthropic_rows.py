"""Reads and writes rows of Anthropic's dialect: ``{"custom_id", "params"}`` and result lines (batch-apis 1.6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

import msgspec

from batchgate.engine.model.errors import ErrorKind, RequestError, UpstreamError
from batchgate.engine.model.failure import FailureKind
from batchgate.engine.ports.rows import InputRow, RowOutcome
from batchgate.providers.dialects.cost_field import cost_field
from batchgate.providers.dialects.line_separators import escape_line_separators
from batchgate.providers.dialects.row_model import change_model, resolve_model
from batchgate_api.anthropic import (
    CanceledResult,
    ErrorBody,
    ErroredResult,
    ErrorResponse,
    ExpiredResult,
    MessageBatchIndividualResponse,
)


class _ResultType(msgspec.Struct, frozen=True):
    type: str


class _ResultLine(msgspec.Struct, frozen=True):
    result: _ResultType


class _Success(msgspec.Struct, frozen=True):
    message: msgspec.Raw


class _SuccessLine(msgspec.Struct, frozen=True):
    result: _Success


class _ErrorKind(msgspec.Struct, frozen=True):
    type: ErrorKind


class _ErrorEnvelope(msgspec.Struct, frozen=True):
    error: _ErrorKind


class _Outcome(msgspec.Struct, frozen=True):
    type: Literal["succeeded", "errored", "canceled", "expired"]
    error: _ErrorEnvelope | None = None


class _OutcomeLine(msgspec.Struct, frozen=True):
    custom_id: str
    result: _Outcome


_OUTCOME_LINE: Final = msgspec.json.Decoder(_OutcomeLine)
_SUCCESS_LINE: Final = msgspec.json.Decoder(_SuccessLine)
_BEFORE_ID: Final = len(b'{"custom_id":"')
_BEFORE_PARAMS: Final = len(b'","params":')
_AFTER_PARAMS: Final = len(b"}\n")
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
        """Return the request of an input line, whose form is known as for `custom_id`; only the model is parsed."""
        params, model = resolve_model(_params_of(line), default_model)
        return InputRow(custom_id=self.custom_id(line), params=params, model=model)

    def succeeded_line(self, custom_id: str, message: bytes, *, cost: int | None = None) -> bytes:
        """Return the result line of a request that succeeded; of the message, only line separators are escaped."""
        return escape_line_separators(
            b'{"custom_id":"%s","result":{"type":"succeeded","message":%s}%s}\n'
            % (custom_id.encode(), message, cost_field(cost))
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

    def outcome(self, line: bytes) -> RowOutcome:
        """Return how the request of a result line ended, without parsing the message."""
        found = _OUTCOME_LINE.decode(line)
        return RowOutcome(found.custom_id, _failure(found.result))

    def answer(self, line: bytes) -> bytes:
        """Return the message in the result line of a request that succeeded."""
        return bytes(_SUCCESS_LINE.decode(line).result.message)

    def change_model(self, line: bytes, change: Callable[[str], str]) -> bytes:
        """Return an input line with another model; see `RowFormat.change_model`."""
        return change_model(line, _params_of(line), change)


def _params_of(line: bytes) -> bytes:
    """Return the params of an input line, whose form is known as for `AnthropicRows.custom_id`."""
    return line[line.index(b'"', _BEFORE_ID) + _BEFORE_PARAMS : -_AFTER_PARAMS]


def _failure(result: _Outcome) -> FailureKind | None:
    if result.error is not None:
        return result.error.error.type
    match result.type:
        case "succeeded":
            return None
        case "errored":
            return "api_error"
        case _:
            return result.type


def _encode_line(custom_id: str, result: ErroredResult | CanceledResult | ExpiredResult) -> bytes:
    line = _ENCODER.encode(MessageBatchIndividualResponse(custom_id=custom_id, result=result)) + b"\n"
    return escape_line_separators(line)
