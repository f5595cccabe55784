"""What the engine tells of its work, as it happens; and what can be asked of it at any moment.

Whoever listens satisfies `Telemetry` and neither blocks nor raises: most of these calls stand in the way of a request.
Gauges are not told but read, when somebody looks: `EngineState`.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final, Protocol

from msgspec import Struct

from batchgate.engine.model.batch import Backlog, Batch
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.provider_call import RequestRow
from batchgate.engine.model.shard import Chunk
from batchgate.engine.model.usage import Counts

HTTP_REQUEST_ID: Final[ContextVar[str | None]] = ContextVar("http_request_id", default=None)
"""The id of the HTTP request that is being served here; every log record of its way carries it."""

SUCCEEDED: Final = "succeeded"
ABANDONED: Final = "abandoned"
"""The outcome of a call that a stop has interrupted, or whose answer could not be used."""


class Telemetry(Protocol):
    """Told what the engine does; times are in seconds."""

    def batch_created(self, batch: Batch, *, size: int, seconds: float) -> None:
        """Learn of a new batch: ``size`` bytes of input, taken in and stored within ``seconds``."""
        ...

    def shard_claimed(self, claim: Claim, *, waited: float) -> None:
        """Learn that a worker has a shard, ``waited`` since its batch was created; said in the task that runs it."""
        ...

    def shard_released(self, claim: Claim, *, seconds: float) -> None:
        """Learn that the worker is through with the shard, or has put it back."""
        ...

    def call_ended(self, batch: Batch, account: str, request: RequestRow, outcome: str, seconds: float) -> None:
        """Learn how a call to a provider ended: `SUCCEEDED`, `ABANDONED` or the kind of its error."""
        ...

    def call_retried(self, batch: Batch, account: str, request: RequestRow, reason: str) -> None:
        """Learn that a call will be made again, and for which kind of error."""
        ...

    def results_flushed(self, claim: Claim, chunk: Chunk, *, seconds: float) -> None:
        """Learn that results are durable, and how long it took to write them."""
        ...

    def requests_redelivered(self, claim: Claim, number: int) -> None:
        """Learn how many requests are asked again because their answers were lost with a worker."""
        ...

    def batch_finalized(self, batch: Batch, counts: Counts, *, seconds: float) -> None:
        """Learn that a batch has ended, with which counts, and how long its finalization took."""
        ...


class NoTelemetry:
    """`Telemetry` to which everything is one; the base of those who want to know some of it."""

    def batch_created(self, batch: Batch, *, size: int, seconds: float) -> None:
        """Pass over it."""

    def shard_claimed(self, claim: Claim, *, waited: float) -> None:
        """Pass over it."""

    def shard_released(self, claim: Claim, *, seconds: float) -> None:
        """Pass over it."""

    def call_ended(self, batch: Batch, account: str, request: RequestRow, outcome: str, seconds: float) -> None:
        """Pass over it."""

    def call_retried(self, batch: Batch, account: str, request: RequestRow, reason: str) -> None:
        """Pass over it."""

    def results_flushed(self, claim: Claim, chunk: Chunk, *, seconds: float) -> None:
        """Pass over it."""

    def requests_redelivered(self, claim: Claim, number: int) -> None:
        """Pass over it."""

    def batch_finalized(self, batch: Batch, counts: Counts, *, seconds: float) -> None:
        """Pass over it."""


class LimiterState(Struct, frozen=True, kw_only=True):
    """How the gate in front of one model of one account stands."""

    account: str
    model: str
    limit: float
    in_flight: int


class EngineState(Struct, frozen=True, kw_only=True):
    """The engine at one moment."""

    limiters: tuple[LimiterState, ...]
    backlog: Backlog | None
    """None while the store does not answer."""
    waiting_seconds: float
    """How long ago the oldest batch with a waiting shard was created; 0 when none waits."""
    problems: int
    """How many parts are not well."""
    workers: int
    """How many processes with a worker live, as far as is known."""
