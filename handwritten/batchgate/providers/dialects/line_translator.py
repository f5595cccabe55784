"""Reads the token usage of answers, and translates lines of batches to the dialect of the caller."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta, Struct

from batchgate.engine.model.batch import Batch, Dialect
from batchgate.engine.model.decoding_errors import DECODING_ERRORS
from batchgate.engine.model.errors import RequestError, Untranslatable
from batchgate.engine.model.provider_call import RowKind
from batchgate.engine.model.usage import Usage
from batchgate.engine.ports.rows import RowFormat
from batchgate.providers.dialects.anthropic_rows import AnthropicRows
from batchgate.providers.dialects.openai_rows import UNTRANSLATABLE, OpenAIError, OpenAIRows
from batchgate.providers.dialects.request_lines import anthropic_request_line, openai_request_line
from batchgate.providers.dialects.result_lines import anthropic_result_line, openai_result_line
from batchgate_api.anthropic import ErrorBody

MESSAGES_TRANSLATED_TO: Final[RowKind] = "chat_completions"
"""The kind of Messages rows after translation to OpenAI's dialect."""

_MICROSECONDS: Final = 1_000_000

Tokens: TypeAlias = Annotated[int, Meta(ge=0, le=2**40)] | None


class _MessagesDetails(Struct):
    thinking_tokens: Tokens = None


class _MessagesUsage(Struct):
    input_tokens: Tokens = None
    cache_creation_input_tokens: Tokens = None
    cache_read_input_tokens: Tokens = None
    output_tokens: Tokens = None
    output_tokens_details: _MessagesDetails | None = None

    def to_usage(self) -> Usage:
        """Return the usage, with tokens read from or written to the cache counted as input."""
        cached = self.cache_read_input_tokens or 0
        return Usage(
            input_tokens=(self.input_tokens or 0) + (self.cache_creation_input_tokens or 0) + cached,
            cached_tokens=cached,
            output_tokens=self.output_tokens or 0,
            reasoning_tokens=(self.output_tokens_details and self.output_tokens_details.thinking_tokens) or 0,
        )


class _InputDetails(Struct):
    cached_tokens: Tokens = None


class _OutputDetails(Struct):
    reasoning_tokens: Tokens = None


class _ResponsesUsage(Struct):
    input_tokens: Tokens = None
    input_tokens_details: _InputDetails | None = None
    output_tokens: Tokens = None
    output_tokens_details: _OutputDetails | None = None

    def to_usage(self) -> Usage:
        """Return the usage."""
        return Usage(
            input_tokens=self.input_tokens or 0,
            cached_tokens=(self.input_tokens_details and self.input_tokens_details.cached_tokens) or 0,
            output_tokens=self.output_tokens or 0,
            reasoning_tokens=(self.output_tokens_details and self.output_tokens_details.reasoning_tokens) or 0,
        )


class _ChatUsage(Struct):
    """The usage of Chat Completions; completions and embeddings have some of these fields."""

    prompt_tokens: Tokens = None
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens: Tokens = None
    completion_tokens_details: _OutputDetails | None = None

    def to_usage(self) -> Usage:
        """Return the usage."""
        return Usage(
            input_tokens=self.prompt_tokens or 0,
            cached_tokens=(self.prompt_tokens_details and self.prompt_tokens_details.cached_tokens) or 0,
            output_tokens=self.completion_tokens or 0,
            reasoning_tokens=(self.completion_tokens_details and self.completion_tokens_details.reasoning_tokens) or 0,
        )


class _Message(Struct):
    usage: _MessagesUsage | None = None


class _Response(Struct):
    usage: _ResponsesUsage | None = None


class _Completion(Struct):
    usage: _ChatUsage | None = None


_Answers: TypeAlias = (
    msgspec.json.Decoder[_Message] | msgspec.json.Decoder[_Response] | msgspec.json.Decoder[_Completion]
)

_CHAT: Final = msgspec.json.Decoder(_Completion)
_ANSWERS: Final[dict[RowKind, _Answers]] = {
    "messages": msgspec.json.Decoder(_Message),
    "responses": msgspec.json.Decoder(_Response),
    "chat_completions": _CHAT,
    "completions": _CHAT,
    "embeddings": _CHAT,
}

_ROWS: Final[dict[Dialect, RowFormat]] = {"anthropic": AnthropicRows(), "openai": OpenAIRows()}


class _UntranslatableLine(Struct, frozen=True):
    """The line in place of a request that cannot be translated."""

    custom_id: str
    error: Struct


class DialectLineTranslator:
    """The `LineTranslator` of every dialect."""

    def usage(self, kind: RowKind, answer: bytes) -> Usage | None:
        """Return the token usage of an answer, or None if it has no valid usage."""
        try:
            usage = _ANSWERS[kind].decode(answer).usage
        except DECODING_ERRORS:
            return None
        if usage is None or usage == type(usage)():
            return None
        return usage.to_usage()

    def request_line(self, batch: Batch, line: bytes, dialect: Dialect) -> bytes:
        """Translate an input line to ``dialect``; a request without a model gets the default model of the batch.

        A line that cannot be translated becomes ``{"custom_id", "error"}``, which is not a valid request line. The
        error names the field and is in the format of ``dialect``.
        """
        if dialect == batch.dialect:
            return line
        try:
            if dialect == "openai":
                return openai_request_line(line, kind=MESSAGES_TRANSLATED_TO, default_model=batch.options.model)
            return anthropic_request_line(line, default_model=batch.options.model)
        except RequestError as error:
            return _untranslatable_line(_ROWS[batch.dialect].custom_id(line), error, dialect)

    def result_line(self, batch: Batch, line: bytes, dialect: Dialect) -> bytes:
        """Translate a result line to ``dialect``; ``created`` of an OpenAI answer is the time when the batch ended."""
        if dialect == batch.dialect:
            return line
        if dialect == "openai":
            created = (batch.ended_at or batch.created_at) // _MICROSECONDS
            return openai_result_line(line, kind=MESSAGES_TRANSLATED_TO, created=created)
        return anthropic_result_line(line, kind=batch.options.kind)


def _untranslatable_line(custom_id: str, error: RequestError, dialect: Dialect) -> bytes:
    body: Struct
    if dialect == "openai":
        param = error.field if isinstance(error, Untranslatable) else None
        body = OpenAIError(error.message, error.kind, param, UNTRANSLATABLE)
    else:
        body = ErrorBody(type=error.kind, message=error.message)
    return msgspec.json.encode(_UntranslatableLine(custom_id, body)) + b"\n"
