"""Deletes usage that is older than the settings allow."""

from __future__ import annotations

from batchgate.engine.model.clock import DAY
from batchgate.engine.model.daily_usage import day_of
from batchgate.engine.model.monthly_budget import days_of
from batchgate.engine.model.workspace import month_of
from batchgate.engine.ports.usage_store import UsageStore


class UsageRetention:
    """Keeps the usage of the last days, and always that of the current month (UTC), which monthly budgets count."""

    def __init__(self, store: UsageStore, days: int | None) -> None:
        self._store = store
        self._days = days
        self._first: str | None = None
        """The first day that the last deletion has kept."""

    async def drop_old(self, now: int) -> None:
        """Delete the usage of older days, once a day; does nothing if all is kept."""
        if self._days is None:
            return
        first = min(day_of(max(0, now - (self._days - 1) * DAY)), days_of(month_of(now))[0])
        if first != self._first:
            await self._store.drop_usage(first)
            self._first = first
