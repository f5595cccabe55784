"""Looks into answers, and says the lines of batches in the dialect in which they are asked for."""

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
"""What batches of Messages are in OpenAI's dialect."""

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

    def read(self) -> Usage:
        """Count what a cache gave or took as input too, which it is."""
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

    def read(self) -> Usage:
        """Take the numbers as they are."""
        return Usage(
            input_tokens=self.input_tokens or 0,
            cached_tokens=(self.input_tokens_details and self.input_tokens_details.cached_tokens) or 0,
            output_tokens=self.output_tokens or 0,
            reasoning_tokens=(self.output_tokens_details and self.output_tokens_details.reasoning_tokens) or 0,
        )


class _ChatUsage(Struct):
    """Completions and embeddings have fewer of the same fields."""

    prompt_tokens: Tokens = None
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens: Tokens = None
    completion_tokens_details: _OutputDetails | None = None

    def read(self) -> Usage:
        """Take the numbers as they are."""
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
    """A request that a dialect has no words for, in place of its line."""

    custom_id: str
    error: Struct


class DialectLineTranslator:
    """`Reading` of all dialects."""

    def usage(self, kind: RowKind, answer: bytes) -> Usage | None:
        """Read the tokens of an answer; None where it has none, or none that can be counted."""
        try:
            usage = _ANSWERS[kind].decode(answer).usage
        except DECODING_ERRORS:
            return None
        if usage is None or usage == type(usage)():
            return None
        return usage.read()

    def request_line(self, batch: Batch, line: bytes, dialect: Dialect) -> bytes:
        """Say an input line of a batch in a dialect, with the model that the batch has for it.

        What cannot be said becomes ``{"custom_id", "error"}``, which nobody can send as a request by mistake; the error
        is in the words of the dialect and names the field.
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
        """Say a result line of a batch in a dialect; an answer of OpenAI's that needs a time gets that of the end."""
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
