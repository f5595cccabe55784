"""Metrics for Prometheus: `Telemetry` that counts, and the text of a scrape."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from batchgate.engine.model.batch import Batch
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.native_job import NativeJob
from batchgate.engine.model.price import Spend
from batchgate.engine.model.provider_call import RequestRow
from batchgate.engine.model.shard import ResultChunk
from batchgate.engine.model.usage import Counts
from batchgate.engine.model.webhook import DeliveryState, Webhook
from batchgate.engine.ports.telemetry import EndedCall, EngineState, NativeCall, NoTelemetry
from batchgate.telemetry.call_metrics import CallMetrics
from batchgate.telemetry.http_metrics import HttpMetrics
from batchgate.telemetry.native_metrics import NativeMetrics
from batchgate.telemetry.state_gauges import StateGauges
from batchgate.telemetry.workspace_labels import WORKSPACE_LABEL, WorkspaceFilter, WorkspaceLabels

RESULT_WRITE_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
FINALIZATION_BUCKETS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
WEBHOOK_OUTCOMES: Final[Mapping[str, DeliveryState]] = {
    "delivered": "delivered",
    "retried": "pending",
    "failed": "failed",
}
"""What an attempt counts as, by what became of the delivery."""
SHARD_WAIT_BUCKETS: Final = (0.1, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0)


class Metrics(NoTelemetry):
    """All metrics of one gateway, in a registry of its own, so that two gateways in one process do not share counts."""

    def __init__(self, version: str, role: str) -> None:
        self._registry = CollectorRegistry()
        self._workspaces = WorkspaceLabels().label
        self._calls = CallMetrics(self._workspaces)
        self._gauges = StateGauges(self._calls.label, self._workspaces)
        self._http = HttpMetrics()
        for collector in (self._calls, self._gauges, self._http):
            self._registry.register(collector)
        ProcessCollector(registry=self._registry)
        info = Gauge("batchgate_info", "Always 1.", ["version", "role"], registry=self._registry)
        info.labels(version, role).set(1)
        self._native = NativeMetrics(self._registry, self._workspaces)
        self._finished = self._counter(
            "batchgate_requests_finished", "Requests of batches that have a result.", WORKSPACE_LABEL, "outcome"
        )
        self._redelivered = self._counter(
            "batchgate_requests_redelivered",
            "Requests sent again because a worker was lost before it stored their results.",
            WORKSPACE_LABEL,
        )
        self._reused = self._counter(
            "batchgate_requests_reused", "Requests that took over a result instead of being sent.", WORKSPACE_LABEL
        )
        self._created = self._counter("batchgate_batches_created", "Batches created.", WORKSPACE_LABEL)
        self._ended = self._counter("batchgate_batches_ended", "Batches that have ended.", WORKSPACE_LABEL)
        self._intake_requests = self._counter(
            "batchgate_intake_requests", "Requests of created batches.", WORKSPACE_LABEL
        )
        self._intake_bytes = self._counter(
            "batchgate_intake_bytes", "Bytes of input of created batches.", WORKSPACE_LABEL
        )
        self._webhook_attempts = self._counter(
            "batchgate_webhook_attempts", "Attempts to deliver events to webhooks.", WORKSPACE_LABEL, "outcome"
        )
        self._result_write = self._histogram(
            "batchgate_result_write_seconds", "Time to store some results durably.", RESULT_WRITE_BUCKETS
        )
        self._finalization = self._histogram(
            "batchgate_finalization_seconds", "Time to write the result file of a batch.", FINALIZATION_BUCKETS
        )
        self._shard_wait = self._histogram(
            "batchgate_shard_wait_seconds",
            "Time from the creation of a batch to the claim of one of its shards.",
            SHARD_WAIT_BUCKETS,
        )

    def batch_created(self, batch: Batch, *, size: int, seconds: float) -> None:  # noqa: ARG002
        """Count a batch."""
        workspace = self._workspaces(batch.workspace)
        self._created.labels(workspace).inc()
        self._intake_requests.labels(workspace).inc(batch.counts.total)
        self._intake_bytes.labels(workspace).inc(size)

    def shard_claimed(self, claim: Claim, *, waited: float) -> None:  # noqa: ARG002
        """Measure how long a shard has waited."""
        self._shard_wait.observe(max(0.0, waited))

    def call_ended(self, call: EndedCall) -> None:
        """Count and measure a call."""
        self._calls.tally(call.batch.workspace, call.account, call.request.model).record_call(
            call.outcome, call.seconds
        )

    def call_retried(self, batch: Batch, account: str, request: RequestRow, reason: str) -> None:
        """Count a retry."""
        self._calls.tally(batch.workspace, account, request.model).record_retry(reason)

    def results_flushed(self, claim: Claim, chunk: ResultChunk, *, seconds: float, native: bool) -> None:
        """Count results, and measure their write if there were any."""
        if chunk.seqs:
            self._native.results_stored(claim.batch, chunk, native=native)
            self._result_write.observe(seconds)
            self._finish(claim.batch, succeeded=chunk.succeeded, errored=chunk.errored)

    def results_reused(self, claim: Claim, chunk: ResultChunk) -> None:
        """Count results that were taken over: they belong to no lane."""
        self._reused.labels(self._workspaces(claim.batch.workspace)).inc(chunk.reused)
        self._finish(claim.batch, succeeded=chunk.succeeded)

    def requests_redelivered(self, claim: Claim, number: int) -> None:
        """Count redelivered requests."""
        self._redelivered.labels(self._workspaces(claim.batch.workspace)).inc(number)

    def batch_finalized(self, batch: Batch, counts: Counts, *, seconds: float) -> None:
        """Measure a finalization, and count the requests that it gave a result."""
        self._ended.labels(self._workspaces(batch.workspace)).inc()
        self._finalization.observe(seconds)
        self._finish(batch, canceled=counts.canceled, expired=counts.expired)

    def native_call_ended(
        self,
        batch: Batch,  # noqa: ARG002
        job: NativeJob,
        call: NativeCall,
        outcome: str,
        seconds: float,
    ) -> None:
        """Count and measure a call to a batch API."""
        self._native.call_ended(job, call, outcome, seconds)

    def native_job_ended(self, batch: Batch, job: NativeJob, *, rescued: int) -> None:
        """Measure a job, and count the requests that run directly instead."""
        self._native.job_ended(batch, job, rescued)

    def native_paid_twice(self, batch: Batch, job: NativeJob, requests: int, spend: Spend) -> None:  # noqa: ARG002
        """Count late answers, and their cost."""
        self._native.paid_twice(batch, requests, spend)

    def webhook_attempted(self, webhook: Webhook, state: DeliveryState) -> None:
        """Count an attempt; each outcome gets a series from 0, as the first value of one is no increase."""
        workspace = self._workspaces(webhook.workspace)
        for outcome, counted in WEBHOOK_OUTCOMES.items():
            self._webhook_attempts.labels(workspace, outcome).inc(counted == state)

    def http_answered(self, operation: str, status: int, seconds: float) -> None:
        """Count and measure an HTTP request."""
        self._http.record(operation, status, seconds)

    async def expose(self, state: EngineState, workspace: str | None = None) -> bytes:
        """Return all metrics, or those of one workspace, as text; in a thread, since the text may be long."""
        self._gauges.set_state(state)
        registry = self._registry if workspace is None else WorkspaceFilter(self._registry, workspace)
        return await asyncio.to_thread(generate_latest, _WithoutCreatedSeries(registry))

    def _finish(self, batch: Batch, **outcomes: int) -> None:
        """Count requests with a result; an outcome with a count of 0 gets a time series too."""
        for outcome, number in outcomes.items():
            self._finished.labels(self._workspaces(batch.workspace), outcome).inc(number)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, bounds: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(name, text, labels, buckets=bounds, registry=self._registry)


class _WithoutCreatedSeries(Collector):
    """Omits the ``_created`` series, which double the text and which Prometheus does not read."""

    def __init__(self, registry: Collector) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric
