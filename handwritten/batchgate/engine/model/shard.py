"""Shards, the units of work that a worker claims, and their results.

A request is identified by its ``seq``: its index in the batch, from 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from msgspec import Struct

from batchgate.engine.model.usage import Usage

RequestStatus: TypeAlias = Literal["succeeded", "errored", "canceled", "expired"]
"""How a request ended."""

SHARD_REQUESTS = 500
SHARD_BYTES = 8 * 1024 * 1024
"""A shard ends before it would exceed one of these limits; a single request may exceed the second."""


class Shard(Struct, frozen=True, kw_only=True):
    """A contiguous range of the requests of a batch, and its position in the input blob."""

    index: int
    first_seq: int
    requests: int
    offset: int
    length: int
    checksum: int
    """CRC-32 of its bytes."""

    @property
    def seqs(self) -> range:
        """The seqs of its requests."""
        return range(self.first_seq, self.first_seq + self.requests)


class QueuedShard(Struct, frozen=True, kw_only=True, order=True):
    """A shard in the queue; the smallest job is the next one."""

    priority: int
    batch_key: int
    shard: int


class ResultChunk(Struct, frozen=True, kw_only=True):
    """Results of one shard that are written together: ``lines`` has one JSON line with its LF for each seq.

    Requests that are neither ``succeeded`` nor ``errored`` have expired.
    """

    seqs: tuple[int, ...]
    lines: bytes
    succeeded: int
    errored: int
    usage: Usage = Usage()
    cost: int = 0
    """The cost of the answers, in nano-dollars."""
    repeated: int = 0
    """How many of the requests an earlier claim of the shard had sent already."""


class ChunkEntry(Struct, frozen=True, kw_only=True):
    """A stored chunk without its lines: which results it has, and how many bytes."""

    id: int
    """Identifies the chunk within its shard."""
    seqs: tuple[int, ...]
    size: int


class ChunkSlice(Struct, frozen=True, order=True):
    """A range of bytes of the lines of a stored chunk."""

    chunk: int
    """The id of its `ChunkEntry`."""
    start: int
    length: int


class ResultLine(Struct, frozen=True, kw_only=True):
    """The result of one request, with its line for the result file, LF included."""

    seq: int
    status: Literal["succeeded", "errored", "expired"]
    line: bytes
    usage: Usage | None = None
    """The tokens that the answer states, if it does."""
    cost: int = 0
    """Their cost in nano-dollars; 0 if the account has no price for the model."""


def chunk_of(results: Sequence[ResultLine], *, sent_before: frozenset[int] = frozenset()) -> ResultChunk:
    """Return results as a chunk; ``sent_before``: the seqs of requests that an earlier claim has sent already."""
    return ResultChunk(
        seqs=tuple(result.seq for result in results),
        lines=b"".join(result.line for result in results),
        succeeded=sum(result.status == "succeeded" for result in results),
        errored=sum(result.status == "errored" for result in results),
        usage=sum((result.usage for result in results if result.usage is not None), Usage()),
        cost=sum(result.cost for result in results),
        repeated=sum(result.seq in sent_before for result in results if result.status != "expired"),
    )
