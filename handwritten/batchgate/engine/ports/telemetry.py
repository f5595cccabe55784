"""Telemetry: events that the engine reports as they happen, and the state that it returns for gauges.

Implementations of `Telemetry` neither block nor raise, since the engine calls most methods while it handles a request.
Gauges are read from `EngineState` when metrics are collected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from typing import Final, Literal, Protocol, TypeAlias

from msgspec import Struct

from batchgate.engine.model.answer_facts import AnswerFacts
from batchgate.engine.model.batch import Backlog, Batch
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.health_report import AccountPause
from batchgate.engine.model.native_job import NativeJob
from batchgate.engine.model.price import Spend
from batchgate.engine.model.provider_call import RequestRow
from batchgate.engine.model.shard import ResultChunk
from batchgate.engine.model.usage import Counts
from batchgate.engine.model.webhook import DeliveryState, Webhook

HTTP_REQUEST_ID: Final[ContextVar[str | None]] = ContextVar("http_request_id", default=None)
"""The id of the HTTP request that the present task serves; log records of the task include it."""

LOG_ENTRIES: Final = "log_entries"
"""The attribute of a log record that stands for several lines: its `LogEntry`s."""


class LogEntry(Struct, frozen=True, gc=False):
    """One line of a log record that has several; it shares the level, the logger and the action of the record."""

    created: float
    """Seconds since the epoch."""
    message: str
    fields: Mapping[str, object]


SUCCEEDED: Final = "succeeded"
ABANDONED: Final = "abandoned"
"""The outcome of a call that was interrupted by a stop, or whose answer was not used."""


NativeCall: TypeAlias = Literal["upload", "create", "find", "poll", "cancel", "collect", "discard"]
"""A call to a provider's batch API for a job.

``collect`` reads all results, and stores them unless they come too late; ``discard`` deletes what the job left.
"""


class EndedCall(Struct, frozen=True, kw_only=True):
    """A call to a provider that has ended."""

    batch: Batch
    account: str
    provider: str
    request: RequestRow
    outcome: str
    """`SUCCEEDED`, `ABANDONED` or the kind of its error."""
    seconds: float
    read_answer: Callable[[], AnswerFacts] | None = None
    """Reads what the answer says about itself, which takes as long as decoding it; None without an answer."""


class Telemetry(Protocol):
    """Records what the engine does; durations are in seconds."""

    def batch_created(self, batch: Batch, *, size: int, seconds: float) -> None:
        """Record a new batch with ``size`` bytes of input; reading and storing it took ``seconds``."""
        ...

    def shard_claimed(self, claim: Claim, *, waited: float) -> None:
        """Record that a worker claimed a shard, ``waited`` after its batch was created; called in the shard's task."""
        ...

    def shard_released(self, claim: Claim, *, seconds: float) -> None:
        """Record that the worker finished the shard or put it back, ``seconds`` after the claim."""
        ...

    def call_ended(self, call: EndedCall) -> None:
        """Record the outcome of a call to a provider."""
        ...

    def call_retried(self, batch: Batch, account: str, request: RequestRow, reason: str) -> None:
        """Record that a call will be retried, with the kind of its error as the reason."""
        ...

    def results_flushed(self, claim: Claim, chunk: ResultChunk, *, seconds: float, native: bool) -> None:
        """Record that results of one lane are durable; writing them took ``seconds``."""
        ...

    def results_reused(self, claim: Claim, chunk: ResultChunk) -> None:
        """Record that results which requests took over from another batch are durable."""
        ...

    def requests_redelivered(self, claim: Claim, number: int) -> None:
        """Record the number of requests that are sent again, because a worker ended before it stored their answers."""
        ...

    def batch_planned(self, batch: Batch, jobs: Sequence[NativeJob]) -> None:
        """Record which requests of a batch will travel in jobs; all others run directly."""
        ...

    def native_job_running(self, batch: Batch, job: NativeJob) -> None:
        """Record that a provider has a job."""
        ...

    def native_call_ended(self, batch: Batch, job: NativeJob, call: NativeCall, outcome: str, seconds: float) -> None:
        """Record a call for a job: `SUCCEEDED`, `ABANDONED` or the kind of its error."""
        ...

    def native_job_ended(self, batch: Batch, job: NativeJob, *, rescued: int) -> None:
        """Record the end of a job; ``rescued`` of its requests run directly instead."""
        ...

    def native_paid_twice(self, batch: Batch, job: NativeJob, requests: int, spend: Spend) -> None:
        """Record requests that a job answered after others had been called in their place."""
        ...

    def batch_finalized(self, batch: Batch, counts: Counts, *, seconds: float) -> None:
        """Record that a batch has ended; its finalization took ``seconds``."""
        ...

    def webhook_attempted(self, webhook: Webhook, state: DeliveryState) -> None:
        """Record an attempt to deliver an event, and what became of the delivery: ``pending`` is tried again."""
        ...


class NoTelemetry:
    """`Telemetry` that records nothing; a base class for implementations that record only some events."""

    def batch_created(self, batch: Batch, *, size: int, seconds: float) -> None:
        """Do nothing."""

    def shard_claimed(self, claim: Claim, *, waited: float) -> None:
        """Do nothing."""

    def shard_released(self, claim: Claim, *, seconds: float) -> None:
        """Do nothing."""

    def call_ended(self, call: EndedCall) -> None:
        """Do nothing."""

    def call_retried(self, batch: Batch, account: str, request: RequestRow, reason: str) -> None:
        """Do nothing."""

    def results_flushed(self, claim: Claim, chunk: ResultChunk, *, seconds: float, native: bool) -> None:
        """Do nothing."""

    def results_reused(self, claim: Claim, chunk: ResultChunk) -> None:
        """Do nothing."""

    def requests_redelivered(self, claim: Claim, number: int) -> None:
        """Do nothing."""

    def batch_planned(self, batch: Batch, jobs: Sequence[NativeJob]) -> None:
        """Do nothing."""

    def native_job_running(self, batch: Batch, job: NativeJob) -> None:
        """Do nothing."""

    def native_call_ended(self, batch: Batch, job: NativeJob, call: NativeCall, outcome: str, seconds: float) -> None:
        """Do nothing."""

    def native_job_ended(self, batch: Batch, job: NativeJob, *, rescued: int) -> None:
        """Do nothing."""

    def native_paid_twice(self, batch: Batch, job: NativeJob, requests: int, spend: Spend) -> None:
        """Do nothing."""

    def batch_finalized(self, batch: Batch, counts: Counts, *, seconds: float) -> None:
        """Do nothing."""

    def webhook_attempted(self, webhook: Webhook, state: DeliveryState) -> None:
        """Do nothing."""


class LimiterState(Struct, frozen=True, kw_only=True):
    """The state of the limiter of one model of one account."""

    account: str
    model: str
    limit: float
    in_flight: int


class EngineState(Struct, frozen=True, kw_only=True):
    """The present state of the engine."""

    limiters: tuple[LimiterState, ...]
    pauses: tuple[AccountPause, ...] = ()
    """The pauses of accounts and models that requests of this process wait for."""
    backlog: Backlog | None
    """None if the store does not answer."""
    waiting_seconds: float
    """The age of the oldest batch with a waiting shard; 0 if no shard waits."""
    problems: int
    """The number of health problems."""
    damaged_blobs: int
    """The number of stored blobs that this process knows to be damaged, missing or unreadable."""
    workers: int
    """The number of live processes with a worker, as of the last heartbeat."""
