"""Looks at batches: what a caller that follows them is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from batchgate.engine.lifecycle.batches import require_batch
from batchgate.engine.model.batch import Batch
from batchgate.engine.model.clock import MICROSECONDS, Clock
from batchgate.engine.model.steering import TimelineEntry
from batchgate.engine.ports.batch_store import BatchStore
from batchgate.engine.ports.event_store import EventStore
from batchgate.engine.ports.steering_store import SteeringStore

MOST: Final = 1000
"""The most unfinished batches, ended batches and actions of one look."""
OVERLAP: Final = 10 * MICROSECONDS
"""How much of the time before is looked at again: the clocks of processes differ, and writes take time."""


class Look(Struct, frozen=True, kw_only=True):
    """What was seen at one time."""

    at: int
    """In microseconds since the epoch."""
    batches: Sequence[Batch]
    """The batches as they are."""
    actions: Sequence[tuple[str, TimelineEntry]]
    """Actions with the ids of their batches, the oldest first."""


class BatchLooks:
    """Reads what has happened to one batch, or to all batches of a workspace."""

    def __init__(self, store: BatchStore, steering: SteeringStore, events: EventStore, clock: Clock) -> None:
        self._store = store
        self._steering = steering
        self._events = events
        self._clock = clock

    def now(self) -> int:
        """Return the time of a look that is made now."""
        return self._clock.now()

    async def batch(self, workspace: str, batch_id: str, since: int) -> Look:
        """Look at one batch, and at the actions since a time; raises `RefusedError` if there is no such batch."""
        at = self.now()
        batch = require_batch(await self._store.find_batch(workspace, batch_id), batch_id)
        entries = await self._steering.timeline(batch.key)
        actions = [(batch.id, entry) for entry in entries if entry.at >= since - OVERLAP]
        return Look(at=at, batches=(batch,), actions=actions)

    async def workspace(self, workspace: str, since: int) -> Look:
        """Look at the unfinished batches of a workspace, and at what has ended or was done since a time."""
        at, since = self.now(), since - OVERLAP
        batches = await self._events.recent_batches(workspace, ended_since=since, limit=MOST)
        actions = await self._events.recent_actions(workspace, since=since, limit=MOST)
        return Look(at=at, batches=batches, actions=actions)
