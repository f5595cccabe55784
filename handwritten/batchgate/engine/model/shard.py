"""Shards, the units of work that a worker claims, and their results.

A request is identified by its ``seq``: its index in the batch, from 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from msgspec import Struct

from batchgate.engine.model.daily_usage import ModelUsage, UsedLane
from batchgate.engine.model.fail_fast import CalledModel, FirstResults, first_results
from batchgate.engine.model.failure import Failure, FailureGroup, failure_groups
from batchgate.engine.model.file import NewFile
from batchgate.engine.model.pace import CallPeriod
from batchgate.engine.model.price import Spend, total_spend
from batchgate.engine.model.retried_calls import RetriedCalls
from batchgate.engine.model.series import CallFacts, CallTotals, total_calls
from batchgate.engine.model.usage import Usage, total_usage

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
    spend: Spend = Spend()
    """What the answers have cost."""
    repeated: int = 0
    """How many of the requests an earlier claim of the shard had sent already."""
    reused: int = 0
    """How many of the results are taken over from another batch."""
    ended_tasks: tuple[int, ...] = ()
    """The requests whose tasks are no longer needed."""
    outputs: tuple[NewFile, ...] = ()
    """The files that the requests made, with written blobs."""
    failures: tuple[FailureGroup, ...] = ()
    """Why requests did not succeed."""
    calls: CallPeriod | None = None
    """When the calls were made that gave the results, for the pace of the batch; None for results of jobs."""
    first_results: tuple[FirstResults, ...] = ()
    """How the results of each model begin."""
    models: tuple[ModelUsage, ...] = ()
    """The usage and the spend of its results, by model."""
    lane: UsedLane = "direct"
    call_totals: CallTotals = CallTotals()
    """The calls that gave them."""
    retried: tuple[RetriedCalls, ...] = ()
    """The calls of its shard that failed and were made again, since the chunk before it."""
    at: int = 0
    """When they were put together, in microseconds since the epoch."""


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


class ResultLine(Struct, frozen=True, kw_only=True, gc=False):
    """The result of one request, with its line for the result file, LF included."""

    seq: int
    status: Literal["succeeded", "errored", "expired"]
    line: bytes
    usage: Usage | None = None
    """The tokens that the answer states, if it does."""
    spend: Spend = Spend()
    """What the answer has cost."""
    ended_task: bool = False
    """Whether a stored task of the request is no longer needed."""
    outputs: tuple[NewFile, ...] = ()
    """The files that the request made, with written blobs."""
    failure: Failure | None = None
    """Why the request did not succeed."""
    called: CalledModel | None = None
    """The model that the request was for; None if no account has it, and if it was not answered."""
    call: CallFacts | None = None
    """The call that gave the result; None for results of jobs, and of requests that were not sent."""


def chunk_of(
    results: Sequence[ResultLine],
    *,
    at: int,
    lane: UsedLane = "direct",
    sent_before: frozenset[int] = frozenset(),
    calls: CallPeriod | None = None,
    retried: tuple[RetriedCalls, ...] = (),
) -> ResultChunk:
    """Return results as a chunk, put together ``at`` a time.

    ``sent_before``: the seqs of requests that an earlier claim has sent already.
    """
    models = _model_usages(results)
    return ResultChunk(
        seqs=tuple([result.seq for result in results]),
        lines=b"".join([result.line for result in results]),
        succeeded=sum([used.succeeded for used in models]),
        errored=sum([used.errored for used in models]),
        usage=total_usage([used.usage for used in models]),
        spend=total_spend([used.spend for used in models]),
        repeated=sum([result.seq in sent_before for result in results if result.status != "expired"]),
        ended_tasks=tuple([result.seq for result in results if result.ended_task]),
        outputs=tuple([output for result in results for output in result.outputs]),
        failures=failure_groups((result.seq, result.failure) for result in results if result.failure is not None),
        calls=calls,
        first_results=first_results((each.called, each.failure) for each in results if each.called is not None),
        models=models,
        call_totals=total_calls((each.called, each.call) for each in results if each.call is not None),
        lane=lane,
        retried=retried,
        at=at,
    )


def _model_usages(results: Sequence[ResultLine]) -> tuple[ModelUsage, ...]:
    by_model: dict[CalledModel | None, list[ResultLine]] = {}
    for result in results:
        by_model.setdefault(result.called, []).append(result)
    return tuple(_model_usage(called, same) for called, same in by_model.items())


def _model_usage(called: CalledModel | None, results: Sequence[ResultLine]) -> ModelUsage:
    statuses = [result.status for result in results]
    return ModelUsage(
        called=called,
        succeeded=statuses.count("succeeded"),
        errored=statuses.count("errored"),
        usage=total_usage([result.usage for result in results if result.usage is not None]),
        spend=total_spend([result.spend for result in results]),
    )
