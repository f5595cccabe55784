"""Reads how a batch went over time."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from batchgate.engine.model.batch import Batch
from batchgate.engine.model.clock import MICROSECONDS, Clock
from batchgate.engine.model.series import PeriodTotals, period_length
from batchgate.engine.ports.shard_store import ShardStore


class SeriesPoint(Struct, frozen=True, kw_only=True):
    """What a batch did in a period."""

    totals: PeriodTotals
    seconds: int
    """How long the period is: for the last one, how long it was until now, or until the batch ended."""


class BatchSeries:
    """Reads the periods of batches."""

    def __init__(self, store: ShardStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def read(self, batch: Batch) -> Sequence[SeriesPoint]:
        """Return the periods of a batch that have results, the oldest first."""
        end = self._clock.now() if batch.ended_at is None else batch.ended_at
        return [self._point(batch, totals, end) for totals in await self._store.series_of(batch.key)]

    @staticmethod
    def _point(batch: Batch, totals: PeriodTotals, end: int) -> SeriesPoint:
        length = min(period_length(batch.created_at, totals.at), max(MICROSECONDS, end - totals.at))
        return SeriesPoint(totals=totals, seconds=round(length / MICROSECONDS))
