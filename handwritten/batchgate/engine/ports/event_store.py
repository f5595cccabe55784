"""The part of the store that tells what has happened to the batches of a workspace lately."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from batchgate.engine.model.batch import Batch
from batchgate.engine.model.steering import TimelineEntry


class EventStore(Protocol):
    """Reads what callers follow; the cost does not depend on the number of older batches. Raises `StoreError`."""

    async def recent_batches(self, workspace: str, *, ended_since: int, limit: int) -> Sequence[Batch]:
        """Read the unfinished batches, and those that have ended since a time: the newest ``limit`` of each."""
        ...

    async def recent_actions(self, workspace: str, *, since: int, limit: int) -> Sequence[tuple[str, TimelineEntry]]:
        """Read the actions on these batches since a time with the ids of the batches, the oldest first."""
        ...
