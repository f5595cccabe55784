"""Reads and writes rows of OpenAI's dialect: lines of input, output and error files (batch-apis 4.3)."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final, Literal

import msgspec
from msgspec import Raw, Struct

from batchgate.engine.model.decoding_errors import DECODING_ERRORS, describe_decoding_error
from batchgate.engine.model.errors import STATUSES, RequestError, Untranslatable, UpstreamError
from batchgate.engine.model.failure import FailureKind
from batchgate.engine.model.own_urls import own_endpoint_of
from batchgate.engine.model.provider_call import UpstreamResponse
from batchgate.engine.ports.rows import InputRow, RowOutcome
from batchgate.providers.dialects.cost_field import cost_field
from batchgate.providers.dialects.line_separators import escape_line_separators
from batchgate.providers.dialects.own_models import own_model
from batchgate.providers.dialects.row_model import change_model, resolve_model
from batchgate.providers.responses.provider_errors import upstream_error
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
    url: str = ""


class _ResponseStatus(Struct, frozen=True):
    status_code: int


class _ErrorCode(Struct, frozen=True):
    code: str | None = None


class _ResultLine(Struct, frozen=True):
    response: _ResponseStatus | None
    error: _ErrorCode | None = None


class _Response(Struct, frozen=True):
    status_code: int
    body: Raw


class _SuccessLine(Struct, frozen=True):
    response: _Response


class _OutcomeLine(Struct, frozen=True):
    custom_id: str
    response: _Response | None
    error: _ErrorCode | None = None


_LINE: Final = msgspec.json.Decoder(_Line)
_RESULT_LINE: Final = msgspec.json.Decoder(_ResultLine)
_OUTCOME_LINE: Final = msgspec.json.Decoder(_OutcomeLine)
_SUCCESS_LINE: Final = msgspec.json.Decoder(_SuccessLine)
_CUSTOM_ID: Final = msgspec.json.Decoder(str)
_BEFORE_ID: Final = len(b'{"custom_id":')
_AFTER_ID: Final = b',"method":"'
_ENCODER: Final = msgspec.json.Encoder()
_RANDOM: Final = random.Random()  # ids are no secrets, and a system call for each line would cost more than the line


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
        if own_endpoint_of(found.url):
            params = bytes(found.body)
            return InputRow(custom_id=found.custom_id, params=params, model=own_model(found.url, params), url=found.url)
        params, model = resolve_model(bytes(found.body), default_model, path="body")
        return InputRow(custom_id=found.custom_id, params=params, model=model)

    def succeeded_line(self, custom_id: str, message: bytes, *, cost: int | None = None) -> bytes:
        """Return the result line of a request that succeeded; of the answer, only line separators are escaped."""
        return escape_line_separators(
            b'{"id":"%s","custom_id":%s,"response":{"status_code":200,"request_id":null,"body":%s},"error":null%s}\n'
            % (_new_line_id(), _ENCODER.encode(custom_id), message, cost_field(cost))
        )

    def errored_line(self, custom_id: str, error: RequestError) -> bytes:
        """Return the result line of a request that failed.

        An error of the provider or the gateway becomes a response with its HTTP status, as OpenAI's endpoints send it.
        If no error response arrived, the line has only an error code.
        """
        if isinstance(error, UpstreamError) and not 400 <= error.status <= 599:
            return _error_line(custom_id, BatchLineError(code=_no_response_code(error), message=error.message))
        return _encode_line(
            BatchOutputLine(
                id=_new_line_id().decode(), custom_id=custom_id, response=_error_response(error), error=None
            )
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

    def outcome(self, line: bytes) -> RowOutcome:
        """Return how the request of a result line ended; the kind of an error is found as for a provider's answer."""
        found = _OUTCOME_LINE.decode(line)
        if found.error is not None or found.response is None:
            return RowOutcome(found.custom_id, failure_of_code(None if found.error is None else found.error.code))
        status, body = found.response.status_code, found.response.body
        if status == 200:
            return RowOutcome(found.custom_id, None)
        answer = UpstreamResponse(status=status, headers={}, body=bytes(body))
        return RowOutcome(found.custom_id, upstream_error(answer).kind)

    def answer(self, line: bytes) -> bytes:
        """Return the body of the response in the result line of a request that succeeded."""
        return bytes(_SUCCESS_LINE.decode(line).response.body)

    def change_model(self, line: bytes, change: Callable[[str], str]) -> bytes:
        """Return an input line with another model; see `RowFormat.change_model`."""
        found = _LINE.decode(line)
        return line if own_endpoint_of(found.url) else change_model(line, bytes(found.body), change)


def failure_of_code(code: str | None) -> FailureKind:
    """Return why a request failed whose line has an error code instead of a response."""
    match code:
        case "batch_expired":
            return "expired"
        case "batch_cancelled":
            return "canceled"
        case "request_timeout":
            return "timeout_error"
        case _:
            return "api_error"


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
    return _encode_line(BatchOutputLine(id=_new_line_id().decode(), custom_id=custom_id, response=None, error=error))


def _new_line_id() -> bytes:
    return b"batch_req_%024x" % _RANDOM.getrandbits(96)


def _encode_line(line: BatchOutputLine) -> bytes:
    return escape_line_separators(_ENCODER.encode(line) + b"\n")
