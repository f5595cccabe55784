"""Reports of what results used and cost, for the HTTP API."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Final

import msgspec

from batchgate.engine.model.clock import Clock
from batchgate.engine.model.daily_usage import MAX_USAGE_GROUPS, UsageGroup, UsageQuery, day_of
from batchgate.engine.model.errors import RefusedError
from batchgate.engine.ports.usage_store import UsageStore

DEFAULT_DAYS: Final = 30


class UsageReports:
    """Reads usage; the HTTP API authorizes the caller before."""

    def __init__(self, store: UsageStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def days(self, since: str | None, until: str | None) -> tuple[str, str]:
        """Return the first and the last day of a report, each with its default; raises `RefusedError`."""
        last = _read_day("until", day_of(self._clock.now()) if until is None else until)
        if since is None:
            return date.fromordinal(max(1, last.toordinal() - DEFAULT_DAYS + 1)).isoformat(), last.isoformat()
        first = _read_day("since", since)
        if first > last:
            message = f"since: it is {first}, which is after the last day, {last}; until sets that"
            raise RefusedError("invalid_request_error", message, param="since")
        return first.isoformat(), last.isoformat()

    async def read(self, query: UsageQuery) -> Sequence[UsageGroup]:
        """Return the groups of a query; raises `RefusedError` if there are too many."""
        groups = await self._store.usage_groups(query)
        if len(groups) > MAX_USAGE_GROUPS:
            message = f"by: there are more than {MAX_USAGE_GROUPS} groups; ask for fewer days, or group by less"
            raise RefusedError("invalid_request_error", message, param="by")
        return groups


def _read_day(name: str, text: str) -> date:
    try:
        return msgspec.convert(text, date)
    except msgspec.ValidationError as error:
        message = f"{name}: {text!r} is not a day such as 2026-11-30"
        raise RefusedError("invalid_request_error", message, param=name) from error
