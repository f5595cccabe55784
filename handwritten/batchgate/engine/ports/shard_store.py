"""The part of the store that keeps shards, their claims and their chunks of results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from batchgate.engine.model.batch import Batch
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.failure import FailureGroup
from batchgate.engine.model.series import PeriodTotals
from batchgate.engine.model.shard import ChunkEntry, ChunkSlice, QueuedShard, ResultChunk, Shard


class ShardStore(Protocol):
    """Keeps shards and chunks; every write is durable when its call returns. Raises `StoreError`."""

    async def unfinished_jobs(self) -> Sequence[QueuedShard]:
        """Read the jobs of all shards that are neither done nor held, and whose batch is not paused."""
        ...

    async def claim_shard(self, job: QueuedShard) -> Claim | None:
        """Claim a shard with a new epoch; None if it is done or held, or its batch is paused or awaits its plan."""
        ...

    def mark_sent(self, claim: Claim, seq: int, *, sent: bool) -> None:
        """Record that a request is about to be sent, or remove this record.

        Called for each request, so it neither blocks nor raises. The next claim of the shard lists the recorded
        requests, as far as the store kept the records when the process ended.
        """
        ...

    async def append_chunk(self, claim: Claim, chunk: ResultChunk, *, shard_done: bool) -> bool:
        """Write results, and with the last ones mark the shard done; True if the batch can now be finalized.

        The counts and the failures of the batch change with them, once, however often a chunk is written.

        Raises `StaleClaim`, and writes nothing, if the shard has been claimed again since.
        """
        ...

    async def failures_of(self, batch_key: int) -> Sequence[FailureGroup]:
        """Read why requests of a batch did not succeed, as far as they have results; none if it is archived."""
        ...

    async def release_shard(self, claim: Claim) -> None:
        """Release a shard that is not done; does nothing if it has been claimed again since."""
        ...

    async def list_shards(self, batch: Batch) -> Sequence[Claim]:
        """Read all shards of a batch in order, as read-only claims."""
        ...

    async def find_shard(self, batch_key: int, seq: int) -> Shard | None:
        """Read the shard that a request is in; None after the last one, and when the batch has ended."""
        ...

    async def series_of(self, batch_key: int) -> Sequence[PeriodTotals]:
        """Read the periods of a batch that have results, the oldest first; none if it is archived."""
        ...

    async def read_chunks(self, batch_key: int, shard: int) -> Sequence[ResultChunk]:
        """Read the results of a shard in the order in which they were written."""
        ...

    async def list_chunks(self, batch_key: int, shard: int) -> Sequence[ChunkEntry]:
        """Read which results a shard has, without their lines."""
        ...

    async def read_slices(self, batch_key: int, shard: int, slices: Sequence[ChunkSlice]) -> Sequence[bytes]:
        """Read parts of the lines of chunks, in this order; those of chunks that were dropped are left out."""
        ...

    async def drop_chunks(self, batch_key: int) -> None:
        """Delete the chunks of a batch that has ended."""
        ...
