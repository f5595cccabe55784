"""`SteeringStore` on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from batchgate.engine.model.batch import Batch
from batchgate.engine.model.concurrency_cap import ConcurrencyCaps
from batchgate.engine.model.priority import Contenders
from batchgate.engine.model.steering import Action, TimelineEntry
from batchgate.store.postgres.connection import PostgresPool, Transaction, is_storable
from batchgate.store.postgres.pauses import apply_action
from batchgate.store.postgres.transactions import close_answered_shards
from batchgate.store.records import batch_from_row, caps_from_rows, contenders_from_rows, timeline_entry_from_row


class PostgresSteering:
    """What was done to batches, in a PostgreSQL database."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool

    def notify_on_pause(self, signal: Callable[[], None]) -> None:
        """Do nothing: the transaction that pauses a batch notifies every process, this one too."""

    async def steer_batch(self, workspace: str, batch_id: str, action: Action, *, by: str, now: int) -> Batch | None:
        """Store what an action changes of a batch, and that it did; notify the workers."""
        if not is_storable(workspace, batch_id):
            return None
        return await self._pool.write(
            lambda transaction: _steer(transaction, workspace, batch_id, action, by=by, now=now), repeatable=True
        )

    async def suspended_batches(self) -> Sequence[int]:
        """Read the keys of the batches whose shards no worker may run."""
        return [row["key"] for row in await self._pool.fetch_all("suspended_batches", {})]

    async def contenders(self) -> Contenders:
        """Read the batches that share the calls of their workspace."""
        return contenders_from_rows(await self._pool.fetch_all("contenders", {}))

    async def concurrency_caps(self) -> ConcurrencyCaps:
        """Read the concurrency caps of the open batches."""
        return caps_from_rows(await self._pool.fetch_all("concurrency_caps", {}))

    async def latest_actions(self, batch_keys: Collection[int]) -> Mapping[int, int]:
        """Read the number of the latest action on each of these batches."""
        rows = await self._pool.fetch_all("latest_actions", {"batch_keys": list(batch_keys)})
        return {row["batch_key"]: row["number"] for row in rows}

    async def timeline(self, batch_key: int) -> Sequence[TimelineEntry]:
        """Read what was done to a batch."""
        rows = await self._pool.fetch_all("timeline_of_batch", {"batch_key": batch_key})
        return [timeline_entry_from_row(row) for row in rows]


async def _steer(
    transaction: Transaction, workspace: str, batch_id: str, action: Action, *, by: str, now: int
) -> Batch | None:
    row = await transaction.fetch_one("lock_batch", {"workspace": workspace, "id": batch_id})
    if row is None:
        return None
    batch = batch_from_row(row)
    steered = await apply_action(transaction, batch, action, by=by, now=now)
    await close_answered_shards(transaction, batch.key)
    return steered
