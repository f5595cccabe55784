"""Estimates and reads token usage, and reads the remaining rate limits from response headers.

One meter works for all providers: many send the headers of OpenAI or Anthropic, and usage fields differ only in name.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

import msgspec
from msgspec import Struct

from batchgate.engine.model.decoding_errors import DECODING_ERRORS
from batchgate.engine.model.provider_call import RemainingLimit, UpstreamRequest, UpstreamResponse
from batchgate.providers.responses.reset_times import parse_number, parse_wait

BYTES_PER_TOKEN: Final = 4

_REMAINING_HEADER: Final = re.compile(r"(?:x-ratelimit-remaining-(.+)|(anthropic-ratelimit-.+)-remaining)")


class _OutputLimit(Struct):
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None


class _Usage(Struct):
    total_tokens: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None


class _AnswerUsage(Struct):
    usage: _Usage | None = None


_OUTPUT_LIMIT: Final = msgspec.json.Decoder(_OutputLimit)
_ANSWER: Final = msgspec.json.Decoder(_AnswerUsage)


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
        try:
            usage = _ANSWER.decode(response.body).usage
        except DECODING_ERRORS:
            return None
        if usage is None:
            return None
        if usage.total_tokens is not None:
            return usage.total_tokens
        cached = (usage.cache_creation_input_tokens or 0) + (usage.cache_read_input_tokens or 0)
        return (usage.input_tokens or 0) + (usage.output_tokens or 0) + cached

    def allowances(self, response: UpstreamResponse) -> Sequence[RemainingLimit]:
        """Read ``x-ratelimit-remaining-*`` and ``anthropic-ratelimit-*-remaining``, with the reset time of each."""
        headers = response.headers
        found = [self._allowance(name, headers) for name in headers if "ratelimit" in name]
        return [allowance for allowance in found if allowance is not None]

    def _allowance(self, name: str, headers: Mapping[str, str]) -> RemainingLimit | None:
        match = _REMAINING_HEADER.fullmatch(name)
        if match is None:
            return None
        reset = f"x-ratelimit-reset-{match[1]}" if match[1] else f"{match[2]}-reset"
        remaining, seconds = parse_number(headers[name]), parse_wait(headers.get(reset, ""), self._now())
        if remaining is None or seconds is None:
            return None
        unit: Literal["requests", "tokens"] = "tokens" if "token" in name else "requests"
        return RemainingLimit(unit=unit, remaining=remaining, reset=seconds)
