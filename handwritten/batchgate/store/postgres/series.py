"""How batches went over time, in a PostgreSQL database.

The statement that stores a chunk adds it to its period, so a chunk that is stored already is not added again.
"""

from __future__ import annotations

from collections.abc import Sequence

from batchgate.engine.model.series import PeriodTotals
from batchgate.store.postgres.connection import PostgresPool
from batchgate.store.series_records import period_from_row


class PostgresSeries:
    """The part of a store that reads the periods of batches."""

    _pool: PostgresPool

    async def series_of(self, batch_key: int) -> Sequence[PeriodTotals]:
        """Read the periods of a batch."""
        return [period_from_row(row) for row in await self._pool.fetch_all("series_of_batch", {"batch_key": batch_key})]
