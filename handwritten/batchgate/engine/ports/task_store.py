"""The part of the store that keeps the tasks which run at providers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from batchgate.engine.model.claim import Claim
from batchgate.engine.model.provider_task import ProviderTask


class TaskStore(Protocol):
    """Keeps one task a request at most; every write is durable when its call returns. Raises `StoreError`.

    `ShardStore.append_chunk` deletes the tasks whose requests get their results.
    """

    async def save_task(self, claim: Claim, task: ProviderTask) -> None:
        """Store the task of a request, in place of an earlier one.

        Raises `StaleClaim`, and writes nothing, if the shard has been claimed again since.
        """
        ...

    async def tasks_of(self, claim: Claim) -> Sequence[ProviderTask]:
        """Read the tasks of the requests of a shard."""
        ...

    async def stopped_tasks(self, now: int, limit: int) -> Sequence[ProviderTask]:
        """Read the oldest tasks whose results are not wanted: their batch was canceled, has expired or has ended."""
        ...

    async def forget_task(self, task: ProviderTask) -> None:
        """Delete a task; does nothing if another one has taken its place."""
        ...
