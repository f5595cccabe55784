"""Reads the token usage of answers, and translates lines of batches to the dialect of the caller."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from batchgate.engine.model.batch import Batch, Dialect
from batchgate.engine.model.errors import RequestError, Untranslatable
from batchgate.engine.model.provider_call import RowKind
from batchgate.engine.model.usage import Usage
from batchgate.engine.ports.rows import RowFormat
from batchgate.providers.dialects.anthropic_rows import AnthropicRows
from batchgate.providers.dialects.openai_rows import UNTRANSLATABLE, OpenAIError, OpenAIRows
from batchgate.providers.dialects.request_lines import anthropic_request_line, openai_request_line
from batchgate.providers.dialects.result_lines import anthropic_result_line, openai_result_line
from batchgate.providers.responses.token_counts import UsageFields, read_count, usage_fields
from batchgate_api.anthropic import ErrorBody

MESSAGES_TRANSLATED_TO: Final[RowKind] = "chat_completions"
"""The kind of Messages rows after translation to OpenAI's dialect."""

_MICROSECONDS: Final = 1_000_000

_CACHE_COUNTS: Final = ("cache_creation_input_tokens", "cache_read_input_tokens")


def _messages_usage(fields: UsageFields) -> Usage:
    """Return the usage of a Message, with tokens read from or written to the cache counted as input."""
    cache = sum(read_count(fields, name) or 0 for name in _CACHE_COUNTS)
    return Usage(
        input_tokens=(read_count(fields, "input_tokens") or 0) + cache,
        cached_tokens=read_count(fields, "cache_read_input_tokens") or 0,
        output_tokens=read_count(fields, "output_tokens") or 0,
        reasoning_tokens=read_count(fields, "thinking_tokens", within="output_tokens_details") or 0,
    )


def _openai_usage(fields: UsageFields, incoming: str, outgoing: str) -> Usage:
    """Return the usage of an answer whose counts are ``{incoming}_tokens`` and ``{outgoing}_tokens``."""
    return Usage(
        input_tokens=read_count(fields, f"{incoming}_tokens") or 0,
        cached_tokens=read_count(fields, "cached_tokens", within=f"{incoming}_tokens_details") or 0,
        output_tokens=read_count(fields, f"{outgoing}_tokens") or 0,
        reasoning_tokens=read_count(fields, "reasoning_tokens", within=f"{outgoing}_tokens_details") or 0,
    )


_ROWS: Final[dict[Dialect, RowFormat]] = {"anthropic": AnthropicRows(), "openai": OpenAIRows()}


class _UntranslatableLine(Struct, frozen=True):
    """The line in place of a request that cannot be translated."""

    custom_id: str
    error: Struct


class DialectLineTranslator:
    """The `LineTranslator` of every dialect."""

    def usage(self, kind: RowKind, answer: bytes) -> Usage | None:
        """Return the token usage of an answer, or None if it has no valid usage."""
        fields = usage_fields(answer)
        match kind:
            case "messages":
                usage = _messages_usage(fields)
            case "responses":
                usage = _openai_usage(fields, "input", "output")
            case "chat_completions" | "completions" | "embeddings":
                usage = _openai_usage(fields, "prompt", "completion")
        return None if usage == Usage() else usage

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
