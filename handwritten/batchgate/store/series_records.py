"""Conversions between database rows and the periods of batches, the same for every database."""

from __future__ import annotations

from batchgate.engine.model.series import CallTotals, PeriodTotals, period_start
from batchgate.engine.model.shard import ResultChunk
from batchgate.store.records import Row


def series_row(batch: Row, chunk: ResultChunk) -> dict[str, object]:
    """Return the parameters that add the results of a chunk to a period of its batch."""
    calls = chunk.call_totals
    return {
        "at": period_start(batch["created_at"], chunk.at),
        "failed": len(chunk.seqs) - chunk.succeeded,
        "period_cost": chunk.spend.total,
        "calls": calls.calls,
        "duration": calls.duration,
        "longest": calls.longest,
        "call_limit": calls.limit,
    }


def period_from_row(row: Row) -> PeriodTotals:
    """Return the period in a row."""
    return PeriodTotals(
        at=row["at"],
        succeeded=row["succeeded"],
        failed=row["failed"],
        cost=row["cost"],
        calls=CallTotals(calls=row["calls"], duration=row["duration"], longest=row["longest"], limit=row["call_limit"]),
    )
