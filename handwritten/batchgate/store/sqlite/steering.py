"""`SteeringStore` on a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec

from batchgate.engine.model.batch import Batch
from batchgate.engine.model.concurrency_cap import ConcurrencyCaps
from batchgate.engine.model.priority import Contenders
from batchgate.engine.model.steering import Action, TimelineEntry
from batchgate.store.records import caps_from_rows, contenders_from_rows, timeline_entry_from_row
from batchgate.store.sqlite.connection import SqliteFile
from batchgate.store.sqlite.pauses import QUERIES, apply_action
from batchgate.store.sqlite.transactions import close_answered_shards, find_batch


class SqliteSteering:
    """What was done to batches, in a SQLite file."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file
        self._on_pause: Callable[[], None] = lambda: None

    def notify_on_pause(self, signal: Callable[[], None]) -> None:
        """Call ``signal`` when results have paused a batch."""
        self._on_pause = signal

    def signal_pause(self) -> None:
        """Tell this process that results have paused a batch."""
        self._on_pause()

    async def steer_batch(self, workspace: str, batch_id: str, action: Action, *, by: str, now: int) -> Batch | None:
        """Store what an action changes of a batch, and that it did."""
        return await self._file.write(
            lambda connection: _steer(connection, workspace, batch_id, action, by=by, now=now)
        )

    async def suspended_batches(self) -> Sequence[int]:
        """Read the keys of the batches whose shards no worker may run."""
        rows = await self._file.read(lambda connection: connection.execute(QUERIES["suspended_batches"]).fetchall())
        return [row["key"] for row in rows]

    async def contenders(self) -> Contenders:
        """Read the batches that share the calls of their workspace."""
        rows = await self._file.read(lambda connection: connection.execute(QUERIES["contenders"]).fetchall())
        return contenders_from_rows(rows)

    async def concurrency_caps(self) -> ConcurrencyCaps:
        """Read the concurrency caps of the open batches."""
        rows = await self._file.read(lambda connection: connection.execute(QUERIES["concurrency_caps"]).fetchall())
        return caps_from_rows(rows)

    async def latest_actions(self, batch_keys: Collection[int]) -> Mapping[int, int]:
        """Read the number of the latest action on each of these batches."""
        params = {"batch_keys": msgspec.json.encode(list(batch_keys)).decode()}
        rows = await self._file.read(lambda c: c.execute(QUERIES["latest_actions"], params).fetchall())
        return {row["batch_key"]: row["number"] for row in rows}

    async def timeline(self, batch_key: int) -> Sequence[TimelineEntry]:
        """Read what was done to a batch."""
        params = {"batch_key": batch_key}
        rows = await self._file.read(lambda c: c.execute(QUERIES["timeline_of_batch"], params).fetchall())
        return [timeline_entry_from_row(row) for row in rows]


def _steer(
    connection: sqlite3.Connection, workspace: str, batch_id: str, action: Action, *, by: str, now: int
) -> Batch | None:
    batch = find_batch(connection, workspace, batch_id)
    if batch is None:
        return None
    steered = apply_action(connection, batch, action, by=by, now=now)
    close_answered_shards(connection, batch.key)
    return steered
