"""The part of the store that adds up what results used and cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from batchgate.engine.model.daily_usage import UsageGroup, UsageQuery


class UsageStore(Protocol):
    """Reads the usage that is counted in the transactions that store results. Raises `StoreError`."""

    async def usage_groups(self, query: UsageQuery) -> Sequence[UsageGroup]:
        """Read usage in groups, ordered by what they are grouped by: `MAX_USAGE_GROUPS` and one more at most."""
        ...

    async def drop_usage(self, before: str) -> None:
        """Delete the usage of the days before a day."""
        ...
