"""The tasks that run at providers, in a PostgreSQL database."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from batchgate.engine.model.claim import Claim
from batchgate.engine.model.provider_task import ProviderTask
from batchgate.store.postgres.connection import PostgresPool
from batchgate.store.records import stale_claim, task_from_row, task_row, tasks_of_shard_row


class PostgresTasks:
    """The part of a store that implements `TaskStore`."""

    _pool: PostgresPool

    async def save_task(self, claim: Claim, task: ProviderTask) -> None:
        """Store the task of a request, in place of an earlier one."""
        row = task_row(claim, task)
        stored = await self._pool.write(lambda transaction: transaction.fetch_one("save_task", row), repeatable=True)
        if stored is None:
            raise stale_claim(claim)

    async def tasks_of(self, claim: Claim) -> Sequence[ProviderTask]:
        """Read the tasks of the requests of a shard."""
        return [task_from_row(row) for row in await self._pool.fetch_all("tasks_of_shard", tasks_of_shard_row(claim))]

    async def stopped_tasks(self, now: int, limit: int) -> Sequence[ProviderTask]:
        """Read the oldest tasks whose batch was canceled, has expired or has ended."""
        return [task_from_row(row) for row in await self._pool.fetch_all("stopped_tasks", {"now": now, "limit": limit})]

    async def forget_task(self, task: ProviderTask) -> None:
        """Delete a task; does nothing if another one has taken its place."""
        params = msgspec.structs.asdict(task)
        await self._pool.write(lambda transaction: transaction.execute("forget_task", params), repeatable=True)
