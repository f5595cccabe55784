"""Estimates and reads token usage, and reads the remaining rate limits from response headers.

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
from batchgate.providers.responses.token_counts import read_count, usage_fields

BYTES_PER_TOKEN: Final = 4


class _OutputLimit(Struct):
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None


_OUTPUT_LIMIT: Final = msgspec.json.Decoder(_OutputLimit)
_PARTS: Final = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


class UsageMeter:
    """`Meter` of every provider; ``now`` gives Unix seconds."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now

    def estimate_tokens(self, request: UpstreamRequest) -> int:
        """Return one token for each four bytes, plus the maximum output tokens."""
        try:
            limit = _OUTPUT_LIMIT.decode(request.body)
        except DECODING_ERRORS:
            limit = _OutputLimit()
        answer = limit.max_tokens or limit.max_completion_tokens or limit.max_output_tokens or 0
        return len(request.body) // BYTES_PER_TOKEN + answer

    def tokens_used(self, response: UpstreamResponse) -> int | None:
        """Return the token usage of an answer, cached input included."""
        fields = usage_fields(response.body)
        if not fields:
            return None
        total = read_count(fields, "total_tokens")
        return total if total is not None else sum(read_count(fields, name) or 0 for name in _PARTS)

    def allowances(self, response: UpstreamResponse) -> Sequence[RemainingLimit]:
        """Read what the headers of the response state, whatever its status."""
        return remaining_limits(response.headers, self._now())
