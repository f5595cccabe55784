"""Reads the token usage of answers, and translates lines of batches to the dialect of the caller."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from batchgate.engine.model.answer_facts import AnswerFacts
from batchgate.engine.model.batch import Batch, Dialect
from batchgate.engine.model.errors import RequestError, Untranslatable
from batchgate.engine.model.provider_call import RowKind
from batchgate.engine.model.token_estimate import TokenEstimate
from batchgate.engine.model.usage import Usage
from batchgate.engine.ports.rows import RowFormat
from batchgate.providers.dialects.answer_facts import answer_fields, stated_model, stated_reasons
from batchgate.providers.dialects.anthropic_rows import AnthropicRows
from batchgate.providers.dialects.gemini_usage import GeminiTokens
from batchgate.providers.dialects.openai_rows import UNTRANSLATABLE, OpenAIError, OpenAIRows
from batchgate.providers.dialects.request_lines import anthropic_request_line, openai_request_line
from batchgate.providers.dialects.request_tokens import request_tokens
from batchgate.providers.dialects.result_lines import anthropic_result_line, openai_result_line
from batchgate.providers.responses.token_counts import (
    NO_PARTS,
    CountParts,
    TokenCounts,
    output_with_reasoning,
    token_counts,
)
from batchgate_api.anthropic import ErrorBody

MESSAGES_TRANSLATED_TO: Final[RowKind] = "chat_completions"
"""The kind of Messages rows after translation to OpenAI's dialect."""

_MICROSECONDS: Final = 1_000_000


def _messages_usage(counts: TokenCounts) -> Usage:
    """Return the usage of a Message, with tokens read from or written to the cache counted as input."""
    read, written = counts.cache_read_input_tokens or 0, counts.cache_creation_input_tokens or 0
    return Usage(
        input_tokens=(counts.input_tokens or 0) + read + written,
        cached_tokens=read,
        cache_write_tokens=written,
        long_cache_write_tokens=(counts.cache_creation or NO_PARTS).ephemeral_1h_input_tokens or 0,
        output_tokens=counts.output_tokens or 0,
        reasoning_tokens=(counts.output_tokens_details or NO_PARTS).thinking_tokens or 0,
    )


def _chat_usage(counts: TokenCounts) -> Usage:
    parts = (counts.prompt_tokens_details or NO_PARTS, counts.completion_tokens_details or NO_PARTS)
    return _openai_usage(counts.prompt_tokens or 0, counts.completion_tokens or 0, *parts, counts.total_tokens or 0)


def _responses_usage(counts: TokenCounts) -> Usage:
    parts = (counts.input_tokens_details or NO_PARTS, counts.output_tokens_details or NO_PARTS)
    return _openai_usage(counts.input_tokens or 0, counts.output_tokens or 0, *parts, counts.total_tokens or 0)


def _openai_usage(received: int, sent: int, received_parts: CountParts, sent_parts: CountParts, total: int) -> Usage:
    reasoning = sent_parts.reasoning_tokens or 0
    return Usage(
        input_tokens=received,
        cached_tokens=received_parts.cached_tokens or 0,
        cache_write_tokens=received_parts.cache_write_tokens or 0,
        output_tokens=output_with_reasoning(received, sent, reasoning, total) if reasoning else sent,
        reasoning_tokens=reasoning,
    )


def _converse_usage(counts: TokenCounts) -> Usage:
    """Return the usage of a Converse answer, whose inputTokens has no tokens of the cache."""
    read, written = counts.cacheReadInputTokens or 0, counts.cacheWriteInputTokens or 0
    return Usage(
        input_tokens=(counts.inputTokens or 0) + read + written,
        cached_tokens=read,
        output_tokens=counts.outputTokens or 0,
    )


def _cohere_usage(counts: TokenCounts) -> Usage:
    """Return the usage of an answer of Cohere, whose input has the tokens of the cache."""
    counted = counts.all_or_billed
    return Usage(
        input_tokens=counted.input_tokens or 0,
        cached_tokens=counts.cached_tokens or 0,
        output_tokens=counted.output_tokens or 0,
    )


def _gemini_usage(counts: TokenCounts) -> Usage:
    """Return the usage of an answer of Gemini, whose thoughts are not among its candidates."""
    tokens = GeminiTokens(
        prompt=counts.promptTokenCount or 0,
        cached=counts.cachedContentTokenCount or 0,
        candidates=counts.candidatesTokenCount or 0,
        thoughts=counts.thoughtsTokenCount or 0,
        tools=counts.toolUsePromptTokenCount or 0,
        total=counts.totalTokenCount or 0,
    )
    return Usage(
        input_tokens=tokens.input,
        cached_tokens=tokens.cached,
        output_tokens=tokens.output,
        reasoning_tokens=tokens.thoughts,
    )


def _replicate_usage(counts: TokenCounts) -> Usage:
    """Return the usage of a prediction; only those of language models count tokens."""
    return Usage(input_tokens=counts.input_token_count or 0, output_tokens=counts.output_token_count or 0)


_NO_USAGE: Final = Usage()
_ROWS: Final[dict[Dialect, RowFormat]] = {"anthropic": AnthropicRows(), "openai": OpenAIRows()}


class _UntranslatableLine(Struct, frozen=True):
    """The line in place of a request that cannot be translated."""

    custom_id: str
    error: Struct


class DialectLineTranslator:
    """The `LineTranslator` of every dialect."""

    def usage(self, kind: RowKind, answer: bytes) -> Usage | None:
        """Return the token usage of an answer, or None if it has no valid usage."""
        counts = token_counts(answer)
        match kind:
            case "messages" | "invoke_model":
                usage = _messages_usage(counts)
            case "chat_completions" | "completions" | "embeddings":
                usage = _chat_usage(counts)
            case "responses":
                usage = _responses_usage(counts)
            case "converse":
                usage = _converse_usage(counts)
            case "cohere_chat" | "cohere_embed":
                usage = _cohere_usage(counts)
            case "generate_content" | "embed_content":
                usage = _gemini_usage(counts)
            case "replicate":
                usage = _replicate_usage(counts)
            case "speech" | "elevenlabs" | "runway":
                return None
        return None if usage == _NO_USAGE else usage

    def facts(self, kind: RowKind, answer: bytes) -> AnswerFacts:
        """Return what an answer says about itself."""
        fields = answer_fields(answer)
        return AnswerFacts(
            model=stated_model(fields), finish_reasons=stated_reasons(kind, fields), usage=self.usage(kind, answer)
        )

    def request_tokens(self, kind: RowKind, params: bytes) -> TokenEstimate | None:
        """Estimate the tokens of a request; None if requests of its kind count none."""
        return request_tokens(kind, params)

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
