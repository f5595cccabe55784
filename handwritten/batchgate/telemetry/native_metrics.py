"""Metrics of the lanes: requests, tokens and money by lane, jobs, and calls to batch APIs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

from batchgate.engine.model.batch import Batch
from batchgate.engine.model.clock import MICROSECONDS
from batchgate.engine.model.native_job import NativeJob
from batchgate.engine.model.price import Spend
from batchgate.engine.model.shard import ResultChunk
from batchgate.engine.model.workspace import NANODOLLARS_PER_DOLLAR
from batchgate.engine.ports.telemetry import NativeCall
from batchgate.telemetry.workspace_labels import WORKSPACE_LABEL

JOB_BUCKETS: Final = (60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14_400.0, 28_800.0, 57_600.0, 86_400.0)
CALL_BUCKETS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class NativeMetrics:
    """Counts what batches do in their lanes; accounts are bounded by the settings, workspaces by their labels."""

    def __init__(self, registry: CollectorRegistry, workspaces: Callable[[str], str]) -> None:
        self._workspaces = workspaces
        by_lane = (WORKSPACE_LABEL, "lane")
        self._requests = Counter(
            "batchgate_lane_requests", "Requests with a response or an error, by lane.", by_lane, registry=registry
        )
        self._tokens = Counter(
            "batchgate_tokens", "Tokens of responses, by lane.", (*by_lane, "type"), registry=registry
        )
        self._cost = Counter("batchgate_cost_usd", "Cost of responses, by lane.", by_lane, registry=registry)
        self._saved = Counter(
            "batchgate_saved_usd",
            "What direct calls would have cost more than the native lane.",
            [WORKSPACE_LABEL],
            registry=registry,
        )
        self._unpriced = Counter(
            "batchgate_unpriced_requests",
            "Responses whose cost is not known.",
            [WORKSPACE_LABEL],
            registry=registry,
        )
        self._rescued = Counter(
            "batchgate_rescued_requests",
            "Requests that run directly because their native job did not answer them.",
            [WORKSPACE_LABEL],
            registry=registry,
        )
        self._paid_twice = Counter(
            "batchgate_paid_twice_requests",
            "Requests that a native job answered after they had been called directly.",
            [WORKSPACE_LABEL],
            registry=registry,
        )
        self._jobs = Histogram(
            "batchgate_native_job_duration_seconds",
            "Time from the submission of a native job, or its plan if it was never submitted, to its end.",
            ["account", "state"],
            buckets=JOB_BUCKETS,
            registry=registry,
        )
        self._calls = Counter(
            "batchgate_native_calls",
            "Calls to batch APIs of providers that have ended.",
            ["account", "call", "outcome"],
            registry=registry,
        )
        self._call_duration = Histogram(
            "batchgate_native_call_duration_seconds",
            "Duration of calls to batch APIs of providers.",
            ["call"],
            buckets=CALL_BUCKETS,
            registry=registry,
        )

    def results_stored(self, batch: Batch, chunk: ResultChunk, *, native: bool) -> None:
        """Count results of one lane, their tokens and their cost."""
        workspace, lane = self._workspaces(batch.workspace), "native" if native else "direct"
        self._requests.labels(workspace, lane).inc(chunk.succeeded + chunk.errored)
        self._tokens.labels(workspace, lane, "input").inc(chunk.usage.input_tokens)
        self._tokens.labels(workspace, lane, "output").inc(chunk.usage.output_tokens)
        self._add(workspace, chunk.spend)

    def paid_twice(self, batch: Batch, requests: int, spend: Spend) -> None:
        """Count late answers, and their cost."""
        workspace = self._workspaces(batch.workspace)
        self._paid_twice.labels(workspace).inc(requests)
        self._add(workspace, spend)

    def job_ended(self, batch: Batch, job: NativeJob, rescued: int) -> None:
        """Measure a job, and count the requests that run directly instead."""
        began = job.submitted_at or job.created_at
        seconds = ((job.ended_at or began) - began) / MICROSECONDS
        self._jobs.labels(job.account, job.state).observe(max(0.0, seconds))
        workspace = self._workspaces(batch.workspace)
        self._rescued.labels(workspace).inc(rescued)
        self._paid_twice.labels(workspace)  # a series from 0: Prometheus sees no increase in the first value of one

    def call_ended(self, job: NativeJob, call: NativeCall, outcome: str, seconds: float) -> None:
        """Count and measure a call."""
        self._calls.labels(job.account, call, outcome).inc()
        self._call_duration.labels(call).observe(seconds)

    def _add(self, workspace: str, spend: Spend) -> None:
        self._cost.labels(workspace, "direct").inc(spend.direct / NANODOLLARS_PER_DOLLAR)
        self._cost.labels(workspace, "native").inc(spend.native / NANODOLLARS_PER_DOLLAR)
        # A counter cannot decrease: what was paid twice is in the cost alone.
        self._saved.labels(workspace).inc(max(0, spend.saved) / NANODOLLARS_PER_DOLLAR)
        self._unpriced.labels(workspace).inc(spend.unpriced)
