"""The failures of batches in a PostgreSQL database.

They are changed in transactions that have locked their batch.
"""

from __future__ import annotations

from collections.abc import Sequence

from batchgate.engine.model.failure import FailureGroup, end_failures, merge_failures
from batchgate.store.failure_records import failures_from_row, failures_row
from batchgate.store.postgres.connection import PostgresPool, Transaction


class PostgresFailures:
    """The part of a store that reads failures."""

    _pool: PostgresPool

    async def failures_of(self, batch_key: int) -> Sequence[FailureGroup]:
        """Read why requests of a batch did not succeed."""
        return failures_from_row(await self._pool.fetch_one("failures_of_batch", {"batch_key": batch_key}))


async def add_failures(transaction: Transaction, batch_key: int, added: Sequence[FailureGroup]) -> None:
    """Add failures to those of a batch."""
    await _store(transaction, batch_key, merge_failures(await _find(transaction, batch_key), added))


async def add_unfinished(transaction: Transaction, batch_key: int, unfinished: FailureGroup | None) -> None:
    """Add the requests of a batch that ended without a result."""
    if unfinished is not None:
        await _store(transaction, batch_key, end_failures(await _find(transaction, batch_key), unfinished))


async def _find(transaction: Transaction, batch_key: int) -> tuple[FailureGroup, ...]:
    return failures_from_row(await transaction.fetch_one("failures_of_batch", {"batch_key": batch_key}))


async def _store(transaction: Transaction, batch_key: int, groups: Sequence[FailureGroup]) -> None:
    await transaction.execute("store_failures", failures_row(batch_key, groups))
