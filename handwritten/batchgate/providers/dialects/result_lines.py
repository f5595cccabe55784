"""Translates result lines of batches between the dialects, one line at a time.

Anthropic's are ``{"custom_id", "result"}``, OpenAI's ``{"id", "custom_id", "response", "error"}``. Lines end with LF.
An answer that the other dialect cannot represent becomes an error line, so that no line is lost.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final, assert_never

import msgspec
from msgspec import Raw

from batchgate.engine.model.decoding_errors import DECODING_ERRORS
from batchgate.engine.model.errors import STATUSES, RequestError, UpstreamError
from batchgate.engine.model.provider_call import RowKind, UpstreamResponse
from batchgate.providers.dialects.anthropic_rows import AnthropicRows
from batchgate.providers.dialects.line_separators import escape_line_separators
from batchgate.providers.dialects.openai_rows import (
    CANCELLED,
    EXPIRED,
    UNTRANSLATABLE,
    OpenAIError,
    OpenAIErrorBody,
    failure_of_code,
)
from batchgate.providers.dialects.translation import CONVERSATION_KINDS, AnswerContext, translate_answer
from batchgate.providers.responses.provider_errors import ANSWER_NAMES, unexpected_body_error, upstream_error
from batchgate_api import anthropic as a
from batchgate_api.openai_rows import BatchLineError, BatchLineResponse, BatchOutputLine

UNTRANSLATABLE_ANSWERS: Final[dict[RowKind, str]] = {
    kind: f"This request succeeded, but Batchgate cannot translate {answer} to a Message. Read the original answer in "
    "the batch's output file, or at /v1/batches/{batch_id}/results."
    for kind, answer in ANSWER_NAMES.items()
    if kind not in CONVERSATION_KINDS
}
"""The error messages in place of answers that cannot be translated to Messages."""

_ANTHROPIC: Final = msgspec.json.Decoder(a.MessageBatchIndividualResponse)
_OPENAI: Final = msgspec.json.Decoder(BatchOutputLine)
_ROWS: Final = AnthropicRows()


def openai_result_line(line: bytes, *, kind: RowKind, created: int) -> bytes:
    """Translate a result line of Anthropic's dialect to one of OpenAI's dialect with an answer of ``kind``.

    ``created`` becomes the time of the answer, in Unix seconds, as a Message has none. The id of the line is a hash of
    its content, so that it is the same at each read.
    """
    found = _ANTHROPIC.decode(line)
    line_id = f"batch_req_{blake2b(line, digest_size=12).hexdigest()}"
    response: BatchLineResponse | None = None
    error: BatchLineError | None = None
    match found.result:
        case a.SucceededResult(message=message):
            response, error = _succeeded(bytes(message), found.custom_id, kind, created)
        case a.ErroredResult(error=envelope):
            response = _refused(envelope)
        case a.CanceledResult():
            error = CANCELLED
        case a.ExpiredResult():
            error = EXPIRED
        case _:
            assert_never(found.result)
    translated = BatchOutputLine(
        id=line_id, custom_id=found.custom_id, response=response, error=error, cost_usd=found.cost_usd
    )
    return escape_line_separators(msgspec.json.encode(translated) + b"\n")


def _succeeded(
    message: bytes, custom_id: str, kind: RowKind, created: int
) -> tuple[BatchLineResponse | None, BatchLineError | None]:
    context = AnswerContext(model="", custom_id=custom_id, created=created)
    try:
        body = _answer(message, "messages", kind, context)
    except RequestError as error:
        return None, BatchLineError(code=UNTRANSLATABLE, message=error.message)
    return BatchLineResponse(status_code=200, request_id=None, body=Raw(body)), None


def _refused(envelope: a.ErrorResponse) -> BatchLineResponse:
    error = OpenAIError(message=envelope.error.message, type=envelope.error.type)
    return BatchLineResponse(
        status_code=STATUSES[envelope.error.type],
        request_id=envelope.request_id,
        body=Raw(msgspec.json.encode(OpenAIErrorBody(error))),
    )


def anthropic_result_line(line: bytes, *, kind: RowKind) -> bytes:
    """Translate a result line of OpenAI's dialect, whose answer is of ``kind``, to one of Anthropic's dialect."""
    found = _OPENAI.decode(line)
    if found.error is not None:
        return _error_line(found.custom_id, found.error)
    if found.response is None:
        missing = RequestError("api_error", "The line has neither a response nor an error.")
        return _ROWS.errored_line(found.custom_id, missing)
    if found.response.status_code == 200 and kind not in CONVERSATION_KINDS:
        return _ROWS.errored_line(found.custom_id, RequestError("invalid_request_error", UNTRANSLATABLE_ANSWERS[kind]))
    try:
        message = _message(found.response, found.custom_id, kind)
    except RequestError as error:
        return _ROWS.errored_line(found.custom_id, error)
    result = a.SucceededResult(message=Raw(message))
    translated = a.MessageBatchIndividualResponse(custom_id=found.custom_id, result=result, cost_usd=found.cost_usd)
    return escape_line_separators(msgspec.json.encode(translated) + b"\n")


def _error_line(custom_id: str, error: BatchLineError) -> bytes:
    match failure_of_code(error.code):
        case "expired" | "canceled" as status:
            return _ROWS.unfinished_line(custom_id, status)
        case kind:
            message = error.message or f"The batch reported the error code {error.code}."
            return _ROWS.errored_line(custom_id, RequestError(kind, message))


def _message(response: BatchLineResponse, custom_id: str, kind: RowKind) -> bytes:
    if response.status_code != 200:
        error = upstream_error(UpstreamResponse(status=response.status_code, headers={}, body=bytes(response.body)))
        request_id = response.request_id or error.request_id
        raise UpstreamError(
            error.kind, error.message, status=error.status, retry_safe=error.retry_safe, request_id=request_id
        )
    return _answer(bytes(response.body), kind, "messages", AnswerContext(model="", custom_id=custom_id, created=0))


def _answer(body: bytes, kind: RowKind, to: RowKind, context: AnswerContext) -> bytes:
    try:
        return translate_answer(body, kind=kind, to=to, context=context)
    except DECODING_ERRORS as error:
        raise unexpected_body_error(UpstreamResponse(status=200, headers={}, body=body), kind, error) from error
