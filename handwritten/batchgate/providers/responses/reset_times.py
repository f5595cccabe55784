"""Reads the times at which rate limits reset, and waits, from the forms that providers write in headers."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

_SPAN: Final = re.compile(
    r"(\d+(?:\.\d+)?)(ns|us|µs|ms|d(?:ays?)?|h(?:ours?|rs?)?|m(?:in(?:ute)?s?)?|s(?:ec(?:ond)?s?)?)"
)
_SPANS: Final = re.compile(rf"(?:{_SPAN.pattern})+")
_UNIT_SECONDS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

_MIN_UNIX_SECONDS: Final = 1e9
"""A larger number is a moment and not a wait, which would be 32 years long. This moment was in 2001."""
_MAX_UNIX_SECONDS: Final = 1e12
"""A larger number is a moment in milliseconds, or in a smaller unit."""


def parse_wait(written: str, now: float) -> float | None:
    """Return the seconds from ``now`` (Unix seconds), at least zero; None if the text is not a time.

    Accepts spans (``6m0s``, ``5 minutes``, ``PT30S``), seconds, moments in Unix seconds, milliseconds or smaller units,
    and dates (ISO 8601 and HTTP). A date without a time zone is in UTC.
    """
    text = written.strip()
    span = text.lower().replace(" ", "").removeprefix("pt")
    if _SPANS.fullmatch(span):
        return _finite(sum(float(number) * _unit_seconds(unit) for number, unit in _SPAN.findall(span)))
    if (number := parse_number(text)) is not None:
        return number if number <= _MIN_UNIX_SECONDS else max(0.0, _unix_seconds(number) - now)
    moment = _parse_date(text)
    return None if moment is None else max(0.0, moment - now)


def parse_number(written: str | None) -> float | None:
    """Return a number that is finite and not negative, or None."""
    try:
        number = float(written or "")
    except ValueError:
        return None
    return _finite(number) if number >= 0 else None


def _unit_seconds(unit: str) -> float:
    return _UNIT_SECONDS.get(unit) or _UNIT_SECONDS[unit[0]]


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _unix_seconds(moment: float) -> float:
    while moment > _MAX_UNIX_SECONDS:
        moment /= 1000
    return moment


def _parse_date(text: str) -> float | None:
    """Return the Unix seconds of a date."""
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = parse(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            continue
    return None
