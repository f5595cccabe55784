"""`Telemetry` that forwards to several others."""

from __future__ import annotations

from collections.abc import Sequence

from batchgate.engine.model.batch import Batch
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.native_job import NativeJob
from batchgate.engine.model.price import Spend
from batchgate.engine.model.provider_call import RequestRow
from batchgate.engine.model.shard import ResultChunk
from batchgate.engine.model.usage import Counts
from batchgate.engine.model.webhook import DeliveryState, Webhook
from batchgate.engine.ports.telemetry import EndedCall, NativeCall, Telemetry


class CompositeTelemetry:
    """Forwards each event to every listener in turn."""

    def __init__(self, *listeners: Telemetry) -> None:
        self._listeners = listeners

    def batch_created(self, batch: Batch, *, size: int, seconds: float) -> None:
        """Forward the event."""
        for listener in self._listeners:
            listener.batch_created(batch, size=size, seconds=seconds)

    def shard_claimed(self, claim: Claim, *, waited: float) -> None:
        """Forward the event."""
        for listener in self._listeners:
            listener.shard_claimed(claim, waited=waited)

    def shard_released(self, claim: Claim, *, seconds: float) -> None:
        """Forward the event."""
        for listener in self._listeners:
            listener.shard_released(claim, seconds=seconds)

    def call_ended(self, call: EndedCall) -> None:
        """Forward the event."""
        for listener in self._listeners:
            listener.call_ended(call)

    def call_retried(self, batch: Batch, account: str, request: RequestRow, reason: str) -> None:
        """Forward the event."""
        for listener in self._listeners:
            listener.call_retried(batch, account, request, reason)

    def results_flushed(self, claim: Claim, chunk: ResultChunk, *, seconds: float, native: bool) -> None:
        """Forward the event."""
        for listener in self._listeners:
            listener.results_flushed(claim, chunk, seconds=seconds, native=native)

    def results_reused(self, claim: Claim, chunk: ResultChunk) -> None:
        """Forward the event."""
        for listener in self._listeners:
            listener.results_reused(claim, chunk)

    def requests_redelivered(self, claim: Claim, number: int) -> None:
        """Forward the event."""
        for listener in self._listeners:
            listener.requests_redelivered(claim, number)

    def batch_planned(self, batch: Batch, jobs: Sequence[NativeJob]) -> None:
        """Forward the event."""
        for listener in self._listeners:
            listener.batch_planned(batch, jobs)

    def native_job_running(self, batch: Batch, job: NativeJob) -> None:
        """Forward the event."""
        for listener in self._listeners:
            listener.native_job_running(batch, job)

    def native_call_ended(self, batch: Batch, job: NativeJob, call: NativeCall, outcome: str, seconds: float) -> None:
        """Forward the event."""
        for listener in self._listeners:
            listener.native_call_ended(batch, job, call, outcome, seconds)

    def native_job_ended(self, batch: Batch, job: NativeJob, *, rescued: int) -> None:
        """Forward the event."""
        for listener in self._listeners:
            listener.native_job_ended(batch, job, rescued=rescued)

    def native_paid_twice(self, batch: Batch, job: NativeJob, requests: int, spend: Spend) -> None:
        """Forward the event."""
        for listener in self._listeners:
            listener.native_paid_twice(batch, job, requests, spend)

    def batch_finalized(self, batch: Batch, counts: Counts, *, seconds: float) -> None:
        """Forward the event."""
        for listener in self._listeners:
            listener.batch_finalized(batch, counts, seconds=seconds)

    def webhook_attempted(self, webhook: Webhook, state: DeliveryState) -> None:
        """Forward the event."""
        for listener in self._listeners:
            listener.webhook_attempted(webhook, state)
