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
from batchgate.providers.dialects.finish_reasons import FinishClass, classify_finish
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

_SHOWN_IN_ANSWERS: Final[frozenset[RowKind]] = frozenset({"responses", "embeddings"})
"""The kinds whose answers depend on fields of the request."""


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
    request = row.params if row.kind in _SHOWN_IN_ANSWERS else None
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
            _check_completion(response, kind, body)
        case "responses":
            _check_response(response, body)
        case "messages":
            message = _MESSAGE.decode(body)
            if message.error is not UNSET:
                _raise_error(response, message.error)
            _check_finish(message.stop_reason, "stop_reason")
        case "embeddings":
            _raise_error(response, _EMBEDDINGS.decode(body).error)
        case "converse" | "cohere_chat":
            field = _FINISH_FIELDS[kind]
            _check_finish(getattr(_SHAPES[kind].decode(body), field), field)
        case "invoke_model" | "cohere_embed":
            _SHAPES[kind].decode(body)
        case "generate_content":
            _check_gemini(response, _GEMINI.decode(body))
        case "embed_content":
            _check_gemini_embeddings(response, _GEMINI_EMBEDDINGS.decode(body))


# ---------------------------------------------------------------- the fields that decide


class _Choice(Struct):
    message: Raw | UnsetType = UNSET
    finish_reason: object = None
    error: Raw | UnsetType = UNSET


class _Choices(Struct, array_like=True):
    """The first choice of a completion; any others are skipped."""

    first: _Choice | UnsetType | None = UNSET


class _Completion(Struct):
    choices: _Choices
    error: Raw | UnsetType = UNSET


class _ChoiceWithMessage(Struct):
    message: dict[str, Raw]


class _ChoicesWithMessage(Struct, array_like=True):
    first: _ChoiceWithMessage


class _CompletionWithMessage(Struct):
    choices: _ChoicesWithMessage


class _Response(Struct):
    status: object = None
    error: Raw | UnsetType = UNSET


class _ResponseWithOutput(Struct):
    output: list[Raw]


class _Message(Struct):
    content: list[Raw] | str | dict[str, Raw]
    stop_reason: object = None
    error: Raw | UnsetType = UNSET


class _Embeddings(Struct):
    data: list[Raw]
    error: Raw | UnsetType = UNSET


class _Converse(Struct):
    output: dict[str, Raw]
    stopReason: object = None  # noqa: N815 - the name on the wire


class _CohereChat(Struct):
    message: dict[str, Raw]
    finish_reason: object = None


class _CohereEmbed(Struct):
    embeddings: Raw


class _Gemini(Struct):
    candidates: list[_Candidate] | None = None
    promptFeedback: _Feedback | None = None  # noqa: N815 - Gemini's name
    error: Raw | UnsetType = UNSET


class _Candidate(Struct):
    content: Raw | UnsetType = UNSET
    finishReason: object = None  # noqa: N815 - Gemini's name


class _Feedback(Struct):
    blockReason: str | None = None  # noqa: N815 - Gemini's name


class _GeminiEmbeddings(Struct):
    embedding: Raw | UnsetType = UNSET
    embeddings: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


_COMPLETION: Final = msgspec.json.Decoder(_Completion, float_hook=float)
_COMPLETION_WITH_MESSAGE: Final = msgspec.json.Decoder(_CompletionWithMessage)
_RESPONSE: Final = msgspec.json.Decoder(_Response)
_RESPONSE_WITH_OUTPUT: Final = msgspec.json.Decoder(_ResponseWithOutput)
_MESSAGE: Final = msgspec.json.Decoder(_Message)
_EMBEDDINGS: Final = msgspec.json.Decoder(_Embeddings)
_SHAPES: Final[dict[RowKind, msgspec.json.Decoder[object]]] = {
    "converse": msgspec.json.Decoder(_Converse),
    "invoke_model": msgspec.json.Decoder(dict[str, Raw]),
    "cohere_chat": msgspec.json.Decoder(_CohereChat),
    "cohere_embed": msgspec.json.Decoder(_CohereEmbed),
}
"""The answers that state at most how they ended."""
_FINISH_FIELDS: Final[dict[RowKind, str]] = {"converse": "stopReason", "cohere_chat": "finish_reason"}
_GEMINI: Final = msgspec.json.Decoder(_Gemini)
_GEMINI_EMBEDDINGS: Final = msgspec.json.Decoder(_GeminiEmbeddings)
_NO_SIGNATURE: Final = "MISSING_THOUGHT_SIGNATURE"
_MAY_BE_EMPTY: Final[frozenset[FinishClass]] = frozenset({"filtered", "cut_off"})


# ---------------------------------------------------------------- checks


def _check_completion(response: UpstreamResponse, kind: RowKind, body: bytes) -> None:
    """Raise the error of an answer that is not whole; a filter or a limit may leave a choice without a message."""
    completion = _COMPLETION.decode(body)
    if completion.error is not UNSET:
        _raise_error(response, completion.error)
    choice = completion.choices.first
    if not isinstance(choice, _Choice):
        raise unusable_answer("it has no choices")
    if choice.error is not UNSET:
        _raise_error(response, choice.error)
    ending = _check_finish(choice.finish_reason, "finish_reason")
    message = bytes(choice.message) if isinstance(choice.message, Raw) else b"null"
    is_needed = kind == "chat_completions" and (message != b"null" or ending not in _MAY_BE_EMPTY)
    if is_needed and not message.startswith(b"{"):
        _COMPLETION_WITH_MESSAGE.decode(body)  # raises what is wrong


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


def _check_gemini(response: UpstreamResponse, answer: _Gemini) -> None:
    """Raise the error of an answer that is not whole; a blocked prompt has no candidates."""
    _raise_error(response, answer.error)
    if not answer.candidates:
        if answer.promptFeedback and answer.promptFeedback.blockReason:
            return
        raise unusable_answer("it has no candidates")
    word = answer.candidates[0].finishReason
    if _text(word) == _NO_SIGNATURE:
        message = "The provider requires the thought signatures of earlier function calls; return them as they came."
        raise NoUpstreamAnswer("invalid_request_error", message, status=200, retry_safe=False)
    _check_finish(word, "finishReason")


def _check_gemini_embeddings(response: UpstreamResponse, answer: _GeminiEmbeddings) -> None:
    _raise_error(response, answer.error)
    if answer.embedding is UNSET and answer.embeddings is UNSET:
        raise unusable_answer("it has no embeddings")


def _failed(error: object) -> NoUpstreamAnswer:
    """Make the error for a failure whose code is not known: another try would most likely fail as well."""
    code, message = (error.get("code"), error.get("message")) if isinstance(error, dict) else (None, error)
    return NoUpstreamAnswer("api_error", redact_and_shorten(failure_text(code, message)), status=200, retry_safe=False)


def _raise_error(response: UpstreamResponse, error: Raw | UnsetType) -> None:
    if isinstance(error, Raw) and is_error(error):
        raise embedded_error(response, error)


def _check_finish(word: object, field: str) -> FinishClass:
    """Return how an answer ended; raises an error that is safe to retry if it was broken off."""
    ending = classify_finish(word if isinstance(word, str) else None)
    if ending == "broken_off":
        raise broken_off_answer(f"{field} {word!r}")
    return ending


def _text(value: object) -> str | None:
    """Return a field that is text; None for any other type."""
    return value if isinstance(value, str) else None
