"""A claimed shard."""

from __future__ import annotations

from msgspec import Struct

from batchgate.engine.model.batch import Batch
from batchgate.engine.model.shard import Shard


class Claim(Struct, frozen=True, kw_only=True):
    """A shard in the hands of a worker, fenced by its epoch."""

    batch: Batch
    shard: Shard
    epoch: int
    finished: frozenset[int]
    """The seqs whose results are already durable."""
    sent: frozenset[int] = frozenset()
    """Other seqs that an earlier run has sent, whose answers are lost."""
