"""Actions on batches in a SQLite file, and the pauses that results lead to."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from batchgate.engine.model.batch import Batch
from batchgate.engine.model.batch_event import pause_events
from batchgate.engine.model.monthly_budget import MonthlyBudget
from batchgate.engine.model.shard import ResultChunk
from batchgate.engine.model.steering import Action, steered
from batchgate.store.queries import load_queries
from batchgate.store.records import batch_from_row, steering_row, timeline_row
from batchgate.store.result_pauses import may_change_pause, pause_of_results
from batchgate.store.sqlite.webhooks import add_events

QUERIES: Final = load_queries("batchgate.store.sqlite", "steering.sql")


def apply_action(connection: sqlite3.Connection, batch: Batch, action: Action, *, by: str, now: int) -> Batch:
    """Store what an action changes of a batch, and that it did; return the batch as it is then."""
    changes = steered(batch, action, by=by, at=now)
    if changes is None:
        return batch
    changed, entry = changes
    connection.execute(QUERIES["steer_batch"], steering_row(changed))
    for query in ("add_timeline_entry", "shorten_timeline"):
        connection.execute(QUERIES[query], timeline_row(changed, entry))
    add_events(connection, pause_events(batch, changed))
    if changed.awaits_plan and not batch.awaits_plan:
        connection.execute(QUERIES["hold_shards"], {"batch_key": changed.key})
    return changed


def pause_by_results(
    connection: sqlite3.Connection, counted: sqlite3.Row, chunk: ResultChunk, reached: Sequence[MonthlyBudget]
) -> bool:
    """Pause a batch that has just got results if these or a monthly budget say so; return whether it was paused."""
    if not reached and not may_change_pause(counted, chunk):
        return False
    row = connection.execute(QUERIES["batch_with_results"], {"batch_key": counted["key"]}).fetchone()
    found = pause_of_results(row, chunk, reached)
    connection.execute(QUERIES["store_fail_fast"], {"batch_key": counted["key"], "fail_fast": found.fail_fast})
    if found.pause is None:
        return False
    batch = batch_from_row(row)
    return apply_action(connection, batch, found.pause, by="", now=chunk.at) != batch
