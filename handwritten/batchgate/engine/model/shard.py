"""Shards, the units of work that a worker claims, and the results that come of them."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from batchgate.engine.model.usage import Usage

RequestStatus: TypeAlias = Literal["succeeded", "errored", "canceled", "expired"]
"""How one request ended."""

SHARD_REQUESTS = 500
SHARD_BYTES = 8 * 1024 * 1024


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


class Chunk(Struct, frozen=True, kw_only=True):
    """Results of one shard that are flushed together: ``lines`` holds one JSON line, LF included, for each seq."""

    seqs: tuple[int, ...]
    lines: bytes
    succeeded: int
    errored: int
    usage: Usage = Usage()
    cost: int = 0
    """What their answers cost, in nano-dollars."""
    repeated: int = 0
    """How many of them had been sent by an earlier run of the shard."""


class ResultLine(Struct, frozen=True, kw_only=True):
    """The result of one request: its line, LF included, as it will stand in the result file."""

    seq: int
    ending: Literal["succeeded", "errored"]
    line: bytes
    usage: Usage | None = None
    """What its answer took, if it says so."""
    cost: int = 0
    """What that cost, in nano-dollars, if the account has a price for it."""
