"""Reads the answers of every provider, and raises the error of an answer that is not whole.

Only the fields that decide this are read. Any other field may have any type, and an answer that needs no translation
keeps its bytes.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from batchgate.engine.model.decoding_errors import DECODING_ERRORS, describe_decoding_error
from batchgate.engine.model.errors import NoUpstreamAnswer
from batchgate.engine.model.provider_call import RequestRow, RowKind, UpstreamResponse
from batchgate.providers.dialects.completion import broken_off_answer, unusable_answer
from batchgate.providers.dialects.finish_reasons import classify_finish
from batchgate.providers.dialects.response_status import failure_text, is_failed, is_unfinished
from batchgate.providers.dialects.translation import AnswerContext, to_single_line, translate_answer
from batchgate.providers.responses.embedded_errors import stated_status
from batchgate.providers.responses.json_repair import repair_encoding, repair_json
from batchgate.providers.responses.provider_errors import (
    embedded_error,
    excerpt,
    is_error,
    redact_and_shorten,
    unexpected_body_error,
    upstream_error,
)


def decode_answer(row: RequestRow, response: UpstreamResponse, kind: RowKind, created: float) -> bytes:
    """Return the answer of a server of ``kind`` as the row's kind, in one line.

    ``created`` (Unix seconds) is the time of an answer without one. Raises `UpstreamError` for an error, for an answer
    that is not whole, and for a body that is not an answer of ``kind``.
    """
    if not 200 <= response.status < 300:
        raise upstream_error(response)
    try:
        body = _checked(response, kind)
    except DECODING_ERRORS as error:
        raise unexpected_body_error(response, kind, error) from error
    if kind == row.kind:
        return to_single_line(body)
    request = row.params if row.kind == "responses" else None
    context = AnswerContext(model=row.model, custom_id=row.custom_id, created=int(created), request=request)
    try:
        return translate_answer(body, kind=kind, to=row.kind, context=context)
    except DECODING_ERRORS as error:
        # Not retried: it is an answer that was paid for, and the next one would most likely be like it.
        problem = f"it cannot be translated ({describe_decoding_error(error)}): {excerpt(body)}"
        raise unusable_answer(problem) from error


def _checked(response: UpstreamResponse, kind: RowKind) -> bytes:
    """Return the body as JSON, repaired if needed; raises `UpstreamError`, or one of `DECODING_ERRORS`."""
    body = repair_encoding(response.body)
    try:
        _check(response, kind, body)
    except DECODING_ERRORS:
        repaired = repair_json(body)
        if repaired == body:
            raise
        _check(response, kind, repaired)
        return repaired
    return body


def _check(response: UpstreamResponse, kind: RowKind, body: bytes) -> None:
    match kind:
        case "chat_completions" | "completions":
            _check_completion(response, kind, _COMPLETION.decode(body))
        case "responses":
            _check_response(response, body)
        case "messages":
            message = _MESSAGE.decode(body)
            _raise_error(response, message.error)
            _check_finish(message.stop_reason, "stop_reason")
        case "embeddings":
            _raise_error(response, _EMBEDDINGS.decode(body).error)


# ---------------------------------------------------------------- the fields that decide


class _Completion(Struct):
    choices: list[Raw]
    error: Raw | UnsetType = UNSET


class _Choice(Struct):
    message: Raw | UnsetType = UNSET
    finish_reason: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


class _ChoiceWithMessage(Struct):
    message: dict[str, Raw]


class _Response(Struct):
    status: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


class _ResponseWithOutput(Struct):
    output: list[Raw]


class _Message(Struct):
    content: list[Raw] | str | dict[str, Raw]
    stop_reason: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


class _Embeddings(Struct):
    data: list[Raw]
    error: Raw | UnsetType = UNSET


_COMPLETION: Final = msgspec.json.Decoder(_Completion)
_CHOICE: Final = msgspec.json.Decoder(_Choice)
_CHOICE_WITH_MESSAGE: Final = msgspec.json.Decoder(_ChoiceWithMessage)
_RESPONSE: Final = msgspec.json.Decoder(_Response)
_RESPONSE_WITH_OUTPUT: Final = msgspec.json.Decoder(_ResponseWithOutput)
_MESSAGE: Final = msgspec.json.Decoder(_Message)
_EMBEDDINGS: Final = msgspec.json.Decoder(_Embeddings)


# ---------------------------------------------------------------- checks


def _check_completion(response: UpstreamResponse, kind: RowKind, completion: _Completion) -> None:
    """Raise the error of an answer that is not whole; a filter may leave a choice without a message."""
    _raise_error(response, completion.error)
    if not completion.choices:
        raise unusable_answer("it has no choices")
    choice = _CHOICE.decode(completion.choices[0])
    _raise_error(response, choice.error)
    _check_finish(choice.finish_reason, "finish_reason")
    has_message = isinstance(choice.message, Raw) and bytes(choice.message) != b"null"
    filtered = classify_finish(_text(choice.finish_reason)) == "filtered"
    if kind == "chat_completions" and (has_message or not filtered):
        _CHOICE_WITH_MESSAGE.decode(completion.choices[0])


def _check_response(response: UpstreamResponse, body: bytes) -> None:
    """Raise the error of a Response that failed or is not finished; the code of a failure decides the retry."""
    answer = _RESPONSE.decode(body)
    status = _text(answer.status)
    if isinstance(answer.error, Raw) and is_error(answer.error):
        if stated_status(answer.error) is not None:
            raise embedded_error(response, answer.error)
        raise _failed(msgspec.json.decode(answer.error))
    if is_failed(status):
        raise _failed(None)
    if is_unfinished(status):
        raise unusable_answer(f"the response is not finished (status {status!r})")
    _RESPONSE_WITH_OUTPUT.decode(body)


def _failed(error: object) -> NoUpstreamAnswer:
    """Make the error for a failure whose code is not known: another try would most likely fail as well."""
    code, message = (error.get("code"), error.get("message")) if isinstance(error, dict) else (None, error)
    return NoUpstreamAnswer("api_error", redact_and_shorten(failure_text(code, message)), status=200, retry_safe=False)


def _raise_error(response: UpstreamResponse, error: Raw | UnsetType) -> None:
    if isinstance(error, Raw) and is_error(error):
        raise embedded_error(response, error)


def _check_finish(word: Raw | UnsetType, field: str) -> None:
    found = _text(word)
    if classify_finish(found) == "broken_off":
        raise broken_off_answer(f"{field} {found!r}")


def _text(raw: Raw | UnsetType) -> str | None:
    """Return a field that is text; None for any other type."""
    return msgspec.json.decode(raw, type=str) if isinstance(raw, Raw) and bytes(raw).startswith(b'"') else None
