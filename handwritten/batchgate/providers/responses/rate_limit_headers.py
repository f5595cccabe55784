"""Reads what remains of a provider's rate limits from the headers of its responses, errors included.

The forms: ``x-ratelimit-remaining-requests`` of OpenAI and others, the same without a suffix,
``anthropic-ratelimit-requests-remaining``, and the IETF's ``ratelimit-remaining`` and
``RateLimit: "default";r=50;t=30`` with its earlier form ``limit=100, remaining=50, reset=30``
(draft-ietf-httpapi-ratelimit-headers).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, Literal, TypeAlias

from batchgate.engine.model.provider_call import RemainingLimit
from batchgate.providers.responses.reset_times import parse_number, parse_wait

MAX_RESET: Final = 31 * 86400.0
"""Seconds until a reset at most: a longer time is wrong, as no provider has limits for more than a month."""
MAX_REMAINING: Final = 1e12
"""Requests or tokens that remain at most: a larger number is wrong."""

_Unit: TypeAlias = Literal["requests", "tokens"]

_REMAINING: Final = re.compile(
    r"(?P<before>x-rate-?limit-)remaining(?P<after>-.+)?"
    r"|(?P<anthropic>anthropic-ratelimit-.+-)remaining"
    r"|(?P<ietf>ratelimit-)remaining"
)
_PARAMETER: Final = re.compile(r"\b(r|t|remaining|reset)\s*=\s*([^;,\s]+)", re.IGNORECASE)


def remaining_limits(headers: Mapping[str, str], now: float) -> list[RemainingLimit]:
    """Return what the headers (lower case) state; ``now`` is in Unix seconds. Values that are wrong are left out."""
    found = [_single(name, headers, now) for name in headers if "limit-" in name]
    if "ratelimit" in headers:
        found += _structured(headers["ratelimit"], now)
    return [limit for limit in found if limit is not None]


def _single(name: str, headers: Mapping[str, str], now: float) -> RemainingLimit | None:
    match = _REMAINING.fullmatch(name)
    if match is None:
        return None
    before = match["before"] or match["anthropic"] or match["ietf"]
    suffix = match["after"] or ""
    reset = headers.get(f"{before}reset{suffix}", "")
    return _limit("tokens" if "token" in name else "requests", headers[name], reset, now)


def _structured(value: str, now: float) -> Iterator[RemainingLimit | None]:
    """Yield the limits of a RateLimit header: items with parameters, or the parameters of one limit as items."""
    earlier = "remaining" in value.lower()
    for item in [value] if earlier else value.split(","):
        parameters = {name.lower(): text for name, text in _PARAMETER.findall(item)}
        remaining = parameters.get("remaining" if earlier else "r", "")
        reset = parameters.get("reset" if earlier else "t", "")
        yield _limit("tokens" if "token" in item.lower() else "requests", remaining, reset, now)


def _limit(unit: _Unit, remaining: str, reset: str, now: float) -> RemainingLimit | None:
    number, seconds = parse_number(remaining), parse_wait(reset, now)
    if number is None or seconds is None or number > MAX_REMAINING or seconds > MAX_RESET:
        return None
    return RemainingLimit(unit=unit, remaining=number, reset=seconds)
