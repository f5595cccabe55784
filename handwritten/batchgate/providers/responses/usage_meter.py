"""Estimates and reads token usage, and reads what answers have cost, and the remaining rate limits from headers.

One meter works for all providers: many send the headers of OpenAI or Anthropic, and usage fields differ only in name.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from batchgate.engine.model.decoding_errors import DECODING_ERRORS
from batchgate.engine.model.provider_call import RemainingLimit, UpstreamRequest, UpstreamResponse
from batchgate.providers.responses.rate_limit_headers import remaining_limits
from batchgate.providers.responses.stated_costs import StatedCost
from batchgate.providers.responses.token_counts import NO_COUNTS, token_counts

BYTES_PER_TOKEN: Final = 4


class _Inference(Struct):
    maxTokens: int | None = None  # noqa: N815 - the name on the wire


class _GenerationConfig(Struct):
    maxOutputTokens: int | None = None  # noqa: N815 - Gemini's name


class _OutputLimit(Struct):
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None
    inferenceConfig: _Inference | None = None  # noqa: N815 - the name on the wire
    generationConfig: _GenerationConfig | None = None  # noqa: N815 - Gemini's name


_OUTPUT_LIMIT: Final = msgspec.json.Decoder(_OutputLimit)


class UsageMeter:
    """`TokenMeter` of every provider; ``now`` gives Unix seconds, ``cost`` is how its answers state their cost."""

    def __init__(self, now: Callable[[], float] = time.time, cost: StatedCost | None = None) -> None:
        self._now = now
        self._cost = cost

    def estimate_tokens(self, request: UpstreamRequest) -> int:
        """Return one token for each four bytes, plus the maximum output tokens."""
        try:
            limit = _OUTPUT_LIMIT.decode(request.body)
        except DECODING_ERRORS:
            limit = _OutputLimit()
        gemini = limit.generationConfig.maxOutputTokens if limit.generationConfig else None
        converse = limit.inferenceConfig.maxTokens if limit.inferenceConfig else None
        answer = limit.max_tokens or limit.max_completion_tokens or limit.max_output_tokens or gemini or converse or 0
        return len(request.body) // BYTES_PER_TOKEN + answer

    def tokens_used(self, response: UpstreamResponse) -> int | None:
        """Return the token usage of an answer, cached input included."""
        counts = token_counts(response.body)
        if counts == NO_COUNTS:
            return None
        totals = (counts.total_tokens, counts.totalTokenCount, counts.totalTokens)
        counted, cached = counts.all_or_billed, (counts.cache_creation_input_tokens, counts.cache_read_input_tokens)
        parts = sum(count or 0 for count in (counted.input_tokens, counted.output_tokens, *cached))
        return next((total for total in totals if total is not None), parts)

    def stated_cost(self, response: UpstreamResponse, *, native: bool) -> int | None:
        """Read what an answer says that it has cost."""
        if self._cost is None or (native and not self._cost.in_jobs):
            return None
        return self._cost.read(response.body)

    def allowances(self, response: UpstreamResponse) -> Sequence[RemainingLimit]:
        """Read what the headers of the response state, whatever its status."""
        return remaining_limits(response.headers, self._now())
