"""Reads how long a provider asks to wait before the next call: from headers, fields of the error, or its text.

The order is that of their precision: ``retry-after-ms``, ``retry-after``, google.rpc.RetryInfo, fields such as
``retry_after``, and words such as "Please try again in 6s" (more-dialects 3.8).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from batchgate.providers.responses.reset_times import parse_number, parse_wait

MAX_RETRY_AFTER: Final = 3600.0
"""Maximum wait in seconds, if a provider asks for a longer one or sends milliseconds by mistake."""

_MILLISECOND_HEADERS: Final = ("retry-after-ms", "x-ms-retry-after-ms", "x-amz-retry-after")
_SECOND_FIELDS: Final = ("retryDelay", "retry_delay", "retry_after", "retryAfter", "retry_after_seconds", "retry-after")
_MILLISECOND_FIELDS: Final = ("retry_after_ms", "retryAfterMs", "retry-after-ms")

_UNIT: Final = r"(ms|msecs?|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)(?![a-z])"
_SPAN: Final = re.compile(rf"(\d+(?:\.\d+)?) ?{_UNIT}", re.IGNORECASE)
_WORDS: Final = re.compile(
    rf"\b(?:try(?:ing)? again|retry(?:ing)?|resets?|wait)(?: (?:in|after|for|at least|about))*:? ?~?"
    rf"((?:\d+(?:\.\d+)? ?{_UNIT}(?:,| and)? ?)+)",
    re.IGNORECASE,
)
_UNIT_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def requested_wait(headers: Mapping[str, str], error: object, message: str, now: float) -> float | None:
    """Return the wait in seconds, at most `MAX_RETRY_AFTER`; None if the provider asks for none.

    ``now`` is in Unix seconds.
    """
    wait = next(_waits(headers, error, message, now), None)
    return None if wait is None else min(wait, MAX_RETRY_AFTER)


def _waits(headers: Mapping[str, str], error: object, message: str, now: float) -> Iterator[float]:
    for name in _MILLISECOND_HEADERS:
        if (milliseconds := parse_number(headers.get(name))) is not None:
            yield milliseconds / 1000
    if (wait := parse_wait(headers.get("retry-after", ""), now)) is not None:
        yield wait
    for fields in _parts(error):
        yield from _stated(fields, now)
    if (found := _WORDS.search(message)) is not None:
        yield sum(float(number) * _UNIT_SECONDS[_short(unit)] for number, unit in _SPAN.findall(found[1]))
    if any(_is_daily(part) for part in _parts(error)):
        yield MAX_RETRY_AFTER


def _parts(error: object) -> Iterator[Mapping[str, object]]:
    """Yield the objects of an error that may state a wait: its details (google.rpc.Status), itself, its metadata."""
    if not isinstance(error, dict):
        return
    details = error.get("details")
    for part in (*(details if isinstance(details, list) else [details]), error, error.get("metadata")):
        if isinstance(part, dict):
            yield part


def _stated(fields: Mapping[str, object], now: float) -> Iterator[float]:
    for name in _SECOND_FIELDS:
        if (wait := _seconds(fields.get(name), now)) is not None:
            yield wait
    for name in _MILLISECOND_FIELDS:
        if (wait := _seconds(fields.get(name), now)) is not None:
            yield wait / 1000


def _is_daily(detail: Mapping[str, object]) -> bool:
    """Return whether a google.rpc.QuotaFailure names a quota of a day, which no wait of seconds restores."""
    violations = detail.get("violations")
    found = violations if isinstance(violations, list) else []
    return any(isinstance(quota, dict) and "PerDay" in str(quota.get("quotaId")) for quota in found)


def _seconds(value: object, now: float) -> float | None:
    """Return the seconds of a number, a text such as "17s", or a google.protobuf.Duration as an object."""
    if isinstance(value, dict):
        whole, nanos = _seconds(value.get("seconds", 0), now), _seconds(value.get("nanos", 0), now)
        return None if whole is None or nanos is None else whole + nanos / 1e9
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return parse_wait(value if isinstance(value, str) else repr(float(value)), now)
    except OverflowError:
        return None


def _short(unit: str) -> str:
    """Return the unit in its shortest form: ``ms`` or the first letter."""
    return "ms" if unit.lower().startswith(("ms", "mil")) else unit[0].lower()
