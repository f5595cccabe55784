"""RFC 3339 times of the Messages API and the gateway's own operations."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


CACHED_TIMES: Final = 4096
"""Callers that wait for batches read the same times again and again."""


@lru_cache(CACHED_TIMES)
def rfc3339(microseconds: int) -> str:
    """Return a time in UTC with Z and all six digits of microseconds."""
    moment = EPOCH + timedelta(microseconds=microseconds)
    return moment.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def rfc3339_or_none(microseconds: int | None) -> str | None:
    """Return a time, if there is one."""
    return None if microseconds is None else rfc3339(microseconds)
