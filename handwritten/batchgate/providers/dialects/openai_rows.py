"""Reads and writes rows of OpenAI's dialect: lines of input, output and error files (batch-apis 4.3)."""

from __future__ import annotations

import secrets
from typing import Final, Literal

import msgspec
from msgspec import Raw, Struct

from batchgate.engine.model.decoding_errors import DECODING_ERRORS, describe_decoding_error
from batchgate.engine.model.errors import STATUSES, RequestError, Untranslatable, UpstreamError
from batchgate.engine.ports.rows import InputRow
from batchgate.providers.dialects.line_separators import escape_line_separators
from batchgate.providers.dialects.row_model import resolve_model
from batchgate_api.openai_rows import BatchLineError, BatchLineResponse, BatchOutputLine

EXPIRED: Final = BatchLineError(
    code="batch_expired", message="This request could not be executed before the completion window expired."
)
CANCELLED: Final = BatchLineError(
    code="batch_cancelled", message="This request was not executed before the batch was cancelled."
)
"""The errors of requests that expired or were cancelled, with the codes that OpenAI documents."""

UNTRANSLATABLE: Final = "untranslatable"
"""The error code of a request or answer that the other dialect cannot represent."""


class OpenAIError(Struct, frozen=True):
    """An error object of OpenAI's API."""

    message: str
    type: str
    param: str | None = None
    code: str | int | None = None
    """A number at some servers."""


class OpenAIErrorBody(Struct, frozen=True):
    """The body of an error response."""

    error: OpenAIError


class _Line(Struct, frozen=True):
    custom_id: str
    body: Raw


class _ResponseStatus(Struct, frozen=True):
    status_code: int


class _ErrorCode(Struct, frozen=True):
    code: str | None = None


class _ResultLine(Struct, frozen=True):
    response: _ResponseStatus | None
    error: _ErrorCode | None = None


_LINE: Final = msgspec.json.Decoder(_Line)
_RESULT_LINE: Final = msgspec.json.Decoder(_ResultLine)
_CUSTOM_ID: Final = msgspec.json.Decoder(str)
_BEFORE_ID: Final = len(b'{"custom_id":')
_AFTER_ID: Final = b',"method":"'
_ENCODER: Final = msgspec.json.Encoder()


class OpenAIRows:
    """`RowFormat` of the batches of OpenAI's endpoints."""

    def custom_id(self, line: bytes) -> str:
        """Return the custom_id of an input line without parsing the rest, so that an invalid body does not matter.

        `InputFileReader` writes ``,"method":"`` after the id. It cannot occur in the id, as quotes are escaped there.
        """
        return _CUSTOM_ID.decode(line[_BEFORE_ID : line.index(_AFTER_ID, _BEFORE_ID)])

    def read(self, line: bytes, default_model: str | None = None) -> InputRow:
        """Parse an input line; of the body, only the model is read."""
        try:
            found = _LINE.decode(line)
        except DECODING_ERRORS as error:
            raise RequestError("invalid_request_error", str(describe_decoding_error(error))) from error
        params, model = resolve_model(bytes(found.body), default_model, path="body")
        return InputRow(custom_id=found.custom_id, params=params, model=model)

    def succeeded_line(self, custom_id: str, message: bytes) -> bytes:
        """Return the result line of a request that succeeded; of the answer, only line separators are escaped."""
        return escape_line_separators(
            b'{"id":"batch_req_%s","custom_id":%s,"response":{"status_code":200,"request_id":null,"body":%s},"error":null}\n'
            % (secrets.token_hex(12).encode(), _ENCODER.encode(custom_id), message)
        )

    def errored_line(self, custom_id: str, error: RequestError) -> bytes:
        """Return the result line of a request that failed.

        An error of the provider or the gateway becomes a response with its HTTP status, as OpenAI's endpoints send it.
        If no error response arrived, the line has only an error code.
        """
        if isinstance(error, UpstreamError) and not 400 <= error.status <= 599:
            return _error_line(custom_id, BatchLineError(code=_no_response_code(error), message=error.message))
        return _encode_line(
            BatchOutputLine(id=_new_line_id(), custom_id=custom_id, response=_error_response(error), error=None)
        )

    def unfinished_line(self, custom_id: str, ending: Literal["canceled", "expired"]) -> bytes:
        """Return the result line of a request that was canceled or expired."""
        return _error_line(custom_id, CANCELLED if ending == "canceled" else EXPIRED)

    def expired_line(self, custom_id: str, reason: str) -> bytes | None:
        """Return the result line of a request that expired, with the reason in its message."""
        return _error_line(custom_id, BatchLineError(code=EXPIRED.code, message=f"{EXPIRED.message} {reason}"))

    def is_expired(self, line: bytes) -> bool:
        """Return whether a result line is of a request that expired."""
        error = _RESULT_LINE.decode(line).error
        return error is not None and error.code == EXPIRED.code

    def is_success(self, line: bytes) -> bool:
        """Return whether a result line is of a request that succeeded, parsing only the status."""
        response = _RESULT_LINE.decode(line).response
        return response is not None and response.status_code == 200


def _error_response(error: RequestError) -> BatchLineResponse:
    match error:
        case UpstreamError(status=status, request_id=request_id):
            body_error = OpenAIError(
                error.message, error.provider_type or error.kind, error.provider_param, error.provider_code
            )
        case Untranslatable(field=field):
            status, request_id = STATUSES[error.kind], None
            body_error = OpenAIError(error.message, error.kind, field, UNTRANSLATABLE)
        case _:
            status, request_id = STATUSES[error.kind], None
            body_error = OpenAIError(error.message, error.kind)
    body = Raw(_ENCODER.encode(OpenAIErrorBody(body_error)))
    return BatchLineResponse(status_code=status, request_id=request_id, body=body)


def _no_response_code(error: UpstreamError) -> str:
    """Return the error code for a call without a response, or with one that is neither an answer nor an error."""
    if error.kind == "timeout_error":
        return "request_timeout"
    return "unusable_answer" if error.status else "provider_unreachable"


def _error_line(custom_id: str, error: BatchLineError) -> bytes:
    return _encode_line(BatchOutputLine(id=_new_line_id(), custom_id=custom_id, response=None, error=error))


def _new_line_id() -> str:
    return f"batch_req_{secrets.token_hex(12)}"


def _encode_line(line: BatchOutputLine) -> bytes:
    return escape_line_separators(_ENCODER.encode(line) + b"\n")
