"""The part of the store that keeps what callers did to batches: pauses, and a timeline of all actions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from batchgate.engine.model.batch import Batch
from batchgate.engine.model.concurrency_cap import ConcurrencyCaps
from batchgate.engine.model.priority import Contenders
from batchgate.engine.model.steering import Action, TimelineEntry


class SteeringStore(Protocol):
    """Steers batches; every write is durable when its call returns. Raises `StoreError`.

    The shards of a suspended batch are in no queue, and no worker claims them. The pause of a batch ends when it is
    resumed, is canceled, expires, or has ended. Results pause a batch too, in the transaction that stores them.
    """

    def notify_on_pause(self, signal: Callable[[], None]) -> None:
        """Call ``signal`` when results that this process has stored have paused a batch."""
        ...

    async def steer_batch(self, workspace: str, batch_id: str, action: Action, *, by: str, now: int) -> Batch | None:
        """Store what an action changes of a batch, and an entry in its timeline; without an effect, store nothing.

        Returns the batch as it is then, and None if the workspace has none with this id.
        """
        ...

    async def suspended_batches(self) -> Sequence[int]:
        """Read the keys of the batches whose shards no worker may run.

        They are paused, or a caller has moved them into native jobs and they await their plan.
        """
        ...

    async def contenders(self) -> Contenders:
        """Read the batches that share the calls of their workspace with batches of another priority.

        A batch counts while it is not paused and has shards in the queue, or at a worker.
        """
        ...

    async def concurrency_caps(self) -> ConcurrencyCaps:
        """Read the caps of the batches that have not ended and have one, or had one before it was removed."""
        ...

    async def latest_actions(self, batch_keys: Collection[int]) -> Mapping[int, int]:
        """Read the number of the latest action on each of these batches; a batch without an action is missing."""
        ...

    async def timeline(self, batch_key: int) -> Sequence[TimelineEntry]:
        """Read the latest actions that have changed a batch, the oldest first; empty once it is deleted."""
        ...
