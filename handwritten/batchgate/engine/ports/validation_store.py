"""The part of the store that keeps the validation of batches made from files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from batchgate.engine.model.batch import ValidatedInput
from batchgate.engine.model.shard import QueuedShard


class ValidationStore(Protocol):
    """Keeps the outcome of validations; every write is durable when its call returns. Raises `StoreError`."""

    async def validating_batches(self) -> Sequence[int]:
        """Read the keys of the batches whose files wait for validation."""
        ...

    async def start_batch(self, batch_key: int, validated: ValidatedInput, now: int) -> Sequence[QueuedShard] | None:
        """Store the shards of a batch whose file is valid, and make the batch the owner of its input blob.

        Returns what to enqueue, as `BatchStore.create_batch` does. None, and nothing is changed, if the batch is no
        longer validating (canceled, for example).
        """
        ...

    async def fail_batch(self, batch_key: int, faults: bytes, first_faults: bytes, now: int) -> bool:
        """End a validating batch as failed; False if it is no longer validating."""
        ...

    async def find_faults(self, batch_key: int) -> bytes | None:
        """Read all faults of a batch's file; None if there are none, or they have been deleted."""
        ...

    async def drop_faults(self, failed_before: int) -> None:
        """Delete all but the first faults of batches that failed before a time."""
        ...
