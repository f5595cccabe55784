"""Gauges that are read at each scrape: the limiters, the backlog, the health."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Final

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from batchgate.engine.model.batch import Backlog, BatchStatus
from batchgate.engine.model.health_report import AccountPause
from batchgate.engine.model.native_job import ACTIVE_STATES
from batchgate.engine.ports.telemetry import EngineState
from batchgate.telemetry.workspace_labels import WORKSPACE_LABEL

OPEN_STATUSES: Final[tuple[BatchStatus, ...]] = ("validating", "in_progress", "canceling")


class StateGauges(Collector):
    """Exports the engine state that was set last; the labels of models and workspaces are bounded."""

    def __init__(self, label: Callable[[str, str], str], workspaces: Callable[[str], str]) -> None:
        self._label = label
        self._workspaces = workspaces
        self._batches: dict[str, Counter[BatchStatus]] = {}
        """By workspace; a workspace stays once it had a batch."""
        self._state: EngineState | None = None
        self._limiters: Mapping[tuple[str, str], tuple[float, int]] = {}

    def set_state(self, state: EngineState) -> None:
        """Set the current state of the engine."""
        limiters: dict[tuple[str, str], tuple[float, int]] = {}
        for limiter in state.limiters:
            key = (limiter.account, self._label(limiter.account, limiter.model))
            limit, in_flight = limiters.get(key, (0.0, 0))
            limiters[key] = (limit + limiter.limit, in_flight + limiter.in_flight)
        self._state, self._limiters = state, limiters
        self._count_batches(state.backlog)

    def _count_batches(self, backlog: Backlog | None) -> None:
        counts: dict[str, Counter[BatchStatus]] = {workspace: Counter() for workspace in self._batches}
        for (workspace, status), number in backlog.batches.items() if backlog else ():
            counts.setdefault(self._workspaces(workspace), Counter())[status] += number
        self._batches = counts

    def collect(self) -> Iterator[Metric]:
        """Yield the current metrics; they have no values before a state is set."""
        state = self._state
        yield from _limiter_metrics(self._limiters)
        yield _pause_metric(state.pauses if state else ())
        yield from _backlog_metrics(state, self._batches)
        problems = GaugeMetricFamily(
            "batchgate_unhealthy_components", "Components of the gateway that are unhealthy; see /health."
        )
        if state:
            problems.add_metric([], state.problems)
        damaged = GaugeMetricFamily(
            "batchgate_damaged_files", "Stored files that this process found damaged, missing or unreadable."
        )
        if state:
            damaged.add_metric([], state.damaged_blobs)
        workers = GaugeMetricFamily("batchgate_workers", "Live processes with a worker.")
        if state:
            workers.add_metric([], state.workers)
        yield from (problems, damaged, workers)


def _limiter_metrics(limiters: Mapping[tuple[str, str], tuple[float, int]]) -> Iterator[Metric]:
    labels = ["account", "model"]
    limit = GaugeMetricFamily("batchgate_concurrency_limit", "Maximum calls in flight now.", labels=labels)
    in_flight = GaugeMetricFamily("batchgate_upstream_calls_in_flight", "Calls in flight now.", labels=labels)
    for key, (maximum, current) in limiters.items():
        limit.add_metric(key, maximum)
        in_flight.add_metric(key, current)
    yield from (limit, in_flight)


def _pause_metric(pauses: Sequence[AccountPause]) -> Metric:
    """Count the pauses of each account, its own and those of its models, by their code."""
    metric = GaugeMetricFamily(
        "batchgate_account_pauses",
        "Pauses of accounts and of their models that requests wait for.",
        labels=["account", "code"],
    )
    for key, number in Counter((pause.account, pause.code) for pause in pauses).items():
        metric.add_metric(key, number)
    return metric


def _backlog_metrics(state: EngineState | None, counts: Mapping[str, Counter[BatchStatus]]) -> Iterator[Metric]:
    labels = [WORKSPACE_LABEL, "status"]
    jobs = GaugeMetricFamily(
        "batchgate_native_jobs", "Native jobs that have not ended, by state.", labels=["account", "state"]
    )
    batches = GaugeMetricFamily("batchgate_batches", "Batches that have not ended, by status.", labels=labels)
    waiting = GaugeMetricFamily("batchgate_shards_waiting", "Shards that wait for a worker.")
    oldest = GaugeMetricFamily("batchgate_oldest_shard_wait_seconds", "Age of the oldest batch with a waiting shard.")
    if state and state.backlog:
        for workspace, status in product(counts, OPEN_STATUSES):
            batches.add_metric([workspace, status], counts[workspace][status])
        accounts = sorted({account for account, _ in state.backlog.native_jobs})
        for account, job_state in product(accounts, sorted(ACTIVE_STATES)):
            jobs.add_metric([account, job_state], state.backlog.native_jobs.get((account, job_state), 0))
        waiting.add_metric([], state.backlog.waiting_shards)
        oldest.add_metric([], state.waiting_seconds)
    yield from (batches, jobs, waiting, oldest)
