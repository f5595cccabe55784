"""Actions on batches in a PostgreSQL database, and the pauses that results lead to. Their batch is locked."""

from __future__ import annotations

from collections.abc import Sequence

from batchgate.engine.model.batch import Batch
from batchgate.engine.model.batch_event import pause_events
from batchgate.engine.model.monthly_budget import MonthlyBudget
from batchgate.engine.model.shard import ResultChunk
from batchgate.engine.model.steering import Action, steered
from batchgate.engine.ports.cluster import ClusterEvent
from batchgate.store.postgres.connection import Transaction
from batchgate.store.postgres.webhooks import add_events
from batchgate.store.records import batch_from_row, steering_row, timeline_row
from batchgate.store.result_pauses import pause_of_results


async def apply_action(transaction: Transaction, batch: Batch, action: Action, *, by: str, now: int) -> Batch:
    """Store what an action changes of a batch, and that it did; notify the workers, and return the batch as it is."""
    changes = steered(batch, action, by=by, at=now)
    if changes is None:
        return batch
    changed, entry = changes
    await transaction.execute("steer_batch", steering_row(changed))
    for query in ("add_timeline_entry", "shorten_timeline"):
        await transaction.execute(query, timeline_row(changed, entry))
    await add_events(transaction, pause_events(batch, changed))
    if changed.awaits_plan and not batch.awaits_plan:
        await transaction.execute("hold_shards", {"batch_key": changed.key})
    if changed.pause is not None or changed.awaits_plan:  # after a resume and a plan, the shards get jobs again
        await transaction.execute("withdraw_jobs", {"batch_key": changed.key})
    await notify(transaction, "steer", changed.key)
    return changed


async def pause_by_results(
    transaction: Transaction, batch_key: int, chunk: ResultChunk, reached: Sequence[MonthlyBudget]
) -> None:
    """Pause a batch that has just got results if these or a monthly budget say so."""
    row = await transaction.fetch_one("find_batch_by_key", {"key": batch_key})
    assert row is not None
    found = pause_of_results(row, chunk, reached)
    await transaction.execute("store_fail_fast", {"batch_key": batch_key, "fail_fast": found.fail_fast})
    if found.pause is not None:
        await apply_action(transaction, batch_from_row(row), found.pause, by="", now=chunk.at)


async def notify(transaction: Transaction, event: ClusterEvent, batch_key: int) -> None:
    """Notify the other processes of a batch when this transaction commits."""
    await transaction.execute("notify", {"event": event, "batch_key": batch_key})
