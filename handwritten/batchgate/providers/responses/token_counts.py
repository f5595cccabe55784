"""Reads token counts: as numbers at once, and where servers write others, fractions or digits in a text one by one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta, Struct

from batchgate.engine.model.decoding_errors import DECODING_ERRORS

MAX_COUNT: Final = 2**40
"""A larger count is wrong: no request has as many tokens."""

Count: TypeAlias = Annotated[int, Meta(ge=0, le=MAX_COUNT)] | None
"""None for a count that is not stated, or is wrong."""


class CountParts(Struct, frozen=True, gc=False):
    """The counts of an object within a usage object, by their names at all providers."""

    cached_tokens: Count = None
    cache_write_tokens: Count = None
    reasoning_tokens: Count = None
    thinking_tokens: Count = None
    ephemeral_1h_input_tokens: Count = None
    input_tokens: Count = None
    output_tokens: Count = None


class TokenCounts(Struct, frozen=True, gc=False):
    """The counts of a usage object, by their names at all providers."""

    prompt_tokens: Count = None
    completion_tokens: Count = None
    total_tokens: Count = None
    prompt_tokens_details: CountParts | None = None
    completion_tokens_details: CountParts | None = None
    input_tokens: Count = None
    output_tokens: Count = None
    input_tokens_details: CountParts | None = None
    output_tokens_details: CountParts | None = None
    cache_read_input_tokens: Count = None
    cache_creation_input_tokens: Count = None
    cache_creation: CountParts | None = None
    cached_tokens: Count = None
    tokens: CountParts | None = None
    billed_units: CountParts | None = None
    input_token_count: Count = None
    output_token_count: Count = None
    inputTokens: Count = None  # noqa: N815 - the names of Converse
    outputTokens: Count = None  # noqa: N815
    totalTokens: Count = None  # noqa: N815
    cacheReadInputTokens: Count = None  # noqa: N815
    cacheWriteInputTokens: Count = None  # noqa: N815
    promptTokenCount: Count = None  # noqa: N815 - the names of Gemini
    candidatesTokenCount: Count = None  # noqa: N815
    totalTokenCount: Count = None  # noqa: N815
    cachedContentTokenCount: Count = None  # noqa: N815
    thoughtsTokenCount: Count = None  # noqa: N815
    toolUsePromptTokenCount: Count = None  # noqa: N815

    @property
    def all_or_billed(self) -> TokenCounts | CountParts:
        """Where Cohere counts tokens: all of them, or where it does not say so those that it bills."""
        return next((part for part in (self.tokens, self.billed_units) if part not in {None, NO_PARTS}), None) or self


NO_PARTS: Final = CountParts()
NO_COUNTS: Final = TokenCounts()
_OBJECTS: Final = frozenset(
    {
        "prompt_tokens_details",
        "completion_tokens_details",
        "input_tokens_details",
        "output_tokens_details",
        "cache_creation",
        "tokens",
        "billed_units",
    }
)
"""The fields of `TokenCounts` that are `CountParts`."""


class _Answer(Struct):
    usage: TokenCounts | None = None
    usageMetadata: TokenCounts | None = None  # noqa: N815 - Gemini's name
    metrics: TokenCounts | None = None
    meta: TokenCounts | None = None


class _AnyAnswer(Struct):
    usage: dict[str, object] | None = None
    usageMetadata: dict[str, object] | None = None  # noqa: N815 - Gemini's name
    metrics: dict[str, object] | None = None


class _AnyCohereAnswer(Struct):
    meta: dict[str, object] | None = None


_ANSWER: Final = msgspec.json.Decoder(_Answer)
_ANY_ANSWER: Final = msgspec.json.Decoder(_AnyAnswer, float_hook=float)
"""With the hook, a number that is too large is infinite, and does not fail the document."""
_ANY_COHERE_ANSWER: Final = msgspec.json.Decoder(_AnyCohereAnswer, float_hook=float)


def token_counts(answer: bytes) -> TokenCounts:
    """Return the counts of ``usage``, of Gemini's ``usageMetadata``, or of Replicate's ``metrics``.

    The embeddings of Cohere have them in ``meta``. One count that is wrong does not cost the others.
    """
    try:
        found = _ANSWER.decode(answer)
    except DECODING_ERRORS:
        return _counts_one_by_one(answer)
    return found.usage or found.usageMetadata or found.metrics or found.meta or NO_COUNTS


def _counts_one_by_one(answer: bytes) -> TokenCounts:
    """Return the counts that can be read: fractions rounded up, and None for no number from 0 to `MAX_COUNT`."""
    try:
        found = _ANY_ANSWER.decode(answer)
        fields = found.usage or found.usageMetadata or found.metrics or _ANY_COHERE_ANSWER.decode(answer).meta or {}
    except DECODING_ERRORS:
        return NO_COUNTS
    objects = {name: _parts(value) for name in _OBJECTS if isinstance(value := fields.get(name), dict)}
    counts = {name: _count(fields.get(name)) for name in TokenCounts.__struct_fields__ if name not in _OBJECTS}
    return msgspec.structs.replace(NO_COUNTS, **objects, **counts)


def _parts(fields: Mapping[str, object]) -> CountParts:
    return CountParts(*(_count(fields.get(name)) for name in CountParts.__struct_fields__))


def _count(value: object) -> int | None:
    number = value if type(value) is int else _number(value)
    return math.ceil(number) if 0 <= number <= MAX_COUNT else None


def output_with_reasoning(incoming: int, outgoing: int, reasoning: int, total: int) -> int:
    """Return the output tokens of an answer, reasoning included: xAI counts it beside the others (native-lanes 2.11).

    Then the total is the sum of all three; elsewhere reasoning is a part of the output.
    """
    return outgoing + reasoning if total == incoming + outgoing + reasoning else outgoing


def _number(value: object) -> float:
    """Return a fraction, or the number that a text is; not a number (NaN) for anything else."""
    if not isinstance(value, float | str):
        return math.nan
    try:
        return float(value)
    except ValueError:
        return math.nan
