"""What results used and cost, in a PostgreSQL database.

The statement that stores a chunk counts its usage too, so a chunk that is stored already is not counted again. The rows
of the usage are locked after the batch of the results, and those of one chunk in the order of their names.
"""

from __future__ import annotations

from collections.abc import Sequence

from batchgate.engine.model.daily_usage import UsageGroup, UsageQuery
from batchgate.engine.model.shard import ResultChunk
from batchgate.store.native_records import LateAnswerCount
from batchgate.store.postgres.connection import PostgresPool, Row, Transaction
from batchgate.store.usage_records import (
    SLOTS,
    in_order,
    late_usage_row,
    usage_group_from_row,
    usage_place,
    usage_query_row,
    used_columns,
    used_models,
)


class PostgresUsage:
    """`UsageStore` on PostgreSQL."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool

    async def usage_groups(self, query: UsageQuery) -> Sequence[UsageGroup]:
        """Read usage in groups."""
        return in_order(await self._pool.fetch_long("usage_groups", usage_query_row(query), usage_group_from_row))

    async def drop_usage(self, before: str) -> None:
        """Delete the usage of the days before a day."""
        await self._pool.write(lambda transaction: transaction.execute("drop_usage", {"day": before}), repeatable=True)


def usage_row(batch: Row, chunk: ResultChunk) -> dict[str, object]:
    """Return the parameters that count what the results of a chunk used and cost."""
    return usage_place(batch, chunk) | _slot(batch["key"]) | used_columns(used_models(chunk))


async def add_late_usage(transaction: Transaction, batch: Row, late: LateAnswerCount) -> None:
    """Count what the late answers of a job cost."""
    row = late_usage_row(batch, late) | _slot(late.job.batch_key)
    await transaction.execute("add_usage", row)


def _slot(batch_key: int) -> dict[str, object]:
    return {"slot": batch_key % SLOTS}
