"""The values that the engine works on: batch, shard, chunk, and how a request ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from msgspec import Struct

Dialect: TypeAlias = Literal["anthropic"]
"""The wire format of a batch's requests and results."""

BatchStatus: TypeAlias = Literal["in_progress", "canceling", "ended"]

Ending: TypeAlias = Literal["succeeded", "errored", "canceled", "expired"]
"""How one request ended."""

SHARD_REQUESTS = 500
SHARD_BYTES = 8 * 1024 * 1024


class Counts(Struct, frozen=True, kw_only=True):
    """The requests of a batch that have ended, by how; those that have not are ``total`` less their sum."""

    total: int
    succeeded: int = 0
    errored: int = 0
    canceled: int = 0
    expired: int = 0

    @property
    def processing(self) -> int:
        """How many have not ended."""
        return self.total - self.succeeded - self.errored - self.canceled - self.expired


class Batch(Struct, frozen=True, kw_only=True):
    """A batch as the store knows it; times are microseconds since the epoch."""

    key: int
    """The order of creation: a larger key is a newer batch."""
    id: str
    workspace: str
    dialect: Dialect
    provider: str
    """The account that runs requests which do not name one themselves."""
    headers: Mapping[str, str]
    """Headers of the create call that go upstream with every request, names in lower case."""
    status: BatchStatus
    counts: Counts
    repeated: int
    """Requests with a result that had been sent before, by a run that did not live to store the answer."""
    created_at: int
    expires_at: int
    cancel_initiated_at: int | None
    ended_at: int | None
    archived_at: int | None
    fingerprint: bytes
    input_blob: str
    results_blob: str | None
    results_size: int | None
    """Bytes of the result file, once sealed."""

    @property
    def cut_off(self) -> tuple[Literal["canceled", "expired"], int]:
        """What its requests without a result end as, and since when: whichever came first, the cancel or its time."""
        canceled = self.cancel_initiated_at
        if canceled is not None and canceled < self.expires_at:
            return "canceled", canceled
        return "expired", self.expires_at

    @property
    def blobs(self) -> tuple[str, ...]:
        """The names of the blobs that belong to the batch."""
        return (self.input_blob,) if self.results_blob is None else (self.input_blob, self.results_blob)


class NewBatch(Struct, frozen=True, kw_only=True):
    """A batch about to be stored, with the shards that its input file was cut into."""

    id: str
    workspace: str
    dialect: Dialect
    provider: str
    headers: Mapping[str, str]
    created_at: int
    expires_at: int
    input_blob: str
    shards: tuple[Shard, ...]
    caller: str = ""
    """Who creates it: the name of an API key, or nothing where none is needed."""
    fingerprint: bytes = b""
    """A hash of all that makes the batch what it is, by which a repeated create is known."""
    idempotency_key: str | None = None
    """The caller's own name for this create; another create with it is the same one."""
    repeats_since: int | None = None
    """For a create that the caller's SDK has sent before: from when on an equal one counts as that."""

    @property
    def total(self) -> int:
        """The number of requests."""
        return sum(shard.requests for shard in self.shards)


class Shard(Struct, frozen=True, kw_only=True):
    """A contiguous run of requests: which lines of the input file, and where they lie in it."""

    index: int
    first_seq: int
    requests: int
    offset: int
    length: int
    checksum: int
    """CRC-32 of its bytes."""


class ShardJob(Struct, frozen=True, kw_only=True, order=True):
    """A shard that waits for a worker; the smallest is the next."""

    priority: int
    batch_key: int
    shard: int


class Claim(Struct, frozen=True, kw_only=True):
    """A shard in the hands of a worker, fenced by its epoch."""

    batch: Batch
    shard: Shard
    epoch: int
    finished: frozenset[int]
    """The seqs whose results are already durable."""
    sent: frozenset[int] = frozenset()
    """Other seqs that an earlier run has sent, whose answers are lost."""


class Chunk(Struct, frozen=True, kw_only=True):
    """Results of one shard that are flushed together: ``lines`` holds one JSON line, LF included, for each seq."""

    seqs: tuple[int, ...]
    lines: bytes
    succeeded: int
    errored: int
    repeated: int = 0
    """How many of them had been sent by an earlier run of the shard."""


class ResultLine(Struct, frozen=True, kw_only=True):
    """The result of one request: its line, LF included, as it will stand in the result file."""

    seq: int
    ending: Literal["succeeded", "errored"]
    line: bytes


class Page(Struct, frozen=True, kw_only=True):
    """Some batches, the newest first, and whether there are more in the direction that was asked for."""

    batches: tuple[Batch, ...]
    has_more: bool


class Backlog(Struct, frozen=True, kw_only=True):
    """What is undone."""

    batches: Mapping[BatchStatus, int]
    """Batches that have not ended, by status."""
    waiting_shards: int
    """Shards that no worker holds."""
    waiting_since: int | None
    """When the oldest batch with such a shard was created; None when there is none."""
