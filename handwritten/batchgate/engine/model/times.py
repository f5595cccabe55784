"""RFC 3339 times, as the Messages API and the gateway's own operations have them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

import msgspec

from batchgate.engine.model.errors import RefusedError

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
CACHED_TIMES: Final = 4096
"""Callers that wait for batches read the same times again and again."""


@lru_cache(CACHED_TIMES)
def rfc3339(microseconds: int) -> str:
    """Return a time in UTC with Z and all six digits of microseconds."""
    moment = EPOCH + timedelta(microseconds=microseconds)
    return moment.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def from_rfc3339(text: str) -> int:
    """Return the microseconds since the epoch of a time; raises ValueError if it is none, or has no time zone."""
    try:
        moment = msgspec.convert(text, datetime)
    except msgspec.ValidationError as error:
        raise ValueError("it is no time of RFC 3339") from error
    if moment.tzinfo is None:
        raise ValueError("it has no time zone")
    return (moment - EPOCH) // timedelta(microseconds=1)


def rfc3339_or_none(microseconds: int | None) -> str | None:
    """Return a time, if there is one."""
    return None if microseconds is None else rfc3339(microseconds)


def read_time(name: str, text: str) -> int:
    """Return the time that a caller gives in a parameter or field, in microseconds; raises `RefusedError`."""
    try:
        return from_rfc3339(text)
    except ValueError as error:
        message = f"{name}: {text!r} is not a time with a zone in the format of RFC 3339, such as 2026-10-21T07:28:00Z"
        raise RefusedError("invalid_request_error", message, param=name) from error
