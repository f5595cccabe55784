"""The tasks that run at providers, in a SQLite file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from batchgate.engine.model.claim import Claim
from batchgate.engine.model.provider_task import ProviderTask
from batchgate.store.queries import load_queries
from batchgate.store.records import stale_claim, task_from_row, task_row, tasks_of_shard_row
from batchgate.store.sqlite.connection import SqliteFile

QUERIES: Final = load_queries("batchgate.store.sqlite", "tasks.sql")


class SqliteTasks:
    """The part of a store that implements `TaskStore`."""

    _file: SqliteFile

    async def save_task(self, claim: Claim, task: ProviderTask) -> None:
        """Store the task of a request, in place of an earlier one."""
        row = task_row(claim, task)
        stored = await self._file.write(lambda connection: connection.execute(QUERIES["save_task"], row).rowcount)
        if not stored:
            raise stale_claim(claim)

    async def tasks_of(self, claim: Claim) -> Sequence[ProviderTask]:
        """Read the tasks of the requests of a shard."""
        params = tasks_of_shard_row(claim)
        rows = await self._file.read(lambda c: c.execute(QUERIES["tasks_of_shard"], params).fetchall())
        return [task_from_row(row) for row in rows]

    async def stopped_tasks(self, now: int, limit: int) -> Sequence[ProviderTask]:
        """Read the oldest tasks whose batch was canceled, has expired or has ended."""
        params = {"now": now, "limit": limit}
        rows = await self._file.read(lambda c: c.execute(QUERIES["stopped_tasks"], params).fetchall())
        return [task_from_row(row) for row in rows]

    async def forget_task(self, task: ProviderTask) -> None:
        """Delete a task; does nothing if another one has taken its place."""
        params = msgspec.structs.asdict(task)
        await self._file.write(lambda connection: connection.execute(QUERIES["forget_task"], params).rowcount)
