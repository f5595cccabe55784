"""What is not counted but read, when somebody looks: the limiters, the backlog, the health."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Final

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from batchgate.engine.model.batch import Backlog, BatchStatus
from batchgate.engine.ports.telemetry import EngineState
from batchgate.telemetry.workspace_names import LABEL

OPEN_STATUSES: Final[tuple[BatchStatus, ...]] = ("validating", "in_progress", "canceling")


class StateGauges(Collector):
    """Shows the state of the engine that it was given last; the names of models and of workspaces are bounded."""

    def __init__(self, label: Callable[[str, str], str], workspaces: Callable[[str], str]) -> None:
        self._label = label
        self._workspaces = workspaces
        self._batches: dict[str, Counter[BatchStatus]] = {}
        """By workspace; one that had a batch is shown from then on."""
        self._state: EngineState | None = None
        self._gates: Mapping[tuple[str, str], tuple[float, int]] = {}

    def show(self, state: EngineState) -> None:
        """Take the state of this moment."""
        limiters: dict[tuple[str, str], tuple[float, int]] = {}
        for gate in state.limiters:
            key = (gate.account, self._label(gate.account, gate.model))
            limit, in_flight = limiters.get(key, (0.0, 0))
            limiters[key] = (limit + gate.limit, in_flight + gate.in_flight)
        self._state, self._gates = state, limiters
        self._count_batches(state.backlog)

    def _count_batches(self, backlog: Backlog | None) -> None:
        counted: dict[str, Counter[BatchStatus]] = {workspace: Counter() for workspace in self._batches}
        for (workspace, status), number in backlog.batches.items() if backlog else ():
            counted.setdefault(self._workspaces(workspace), Counter())[status] += number
        self._batches = counted

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics as they stand; before there is a state they have no values."""
        state = self._state
        yield from _gates(self._gates)
        yield from _backlog(state, self._batches)
        problems = GaugeMetricFamily(
            "batchgate_unhealthy_components", "Parts of the gateway that are not well; see /health."
        )
        if state:
            problems.add_metric([], state.problems)
        workers = GaugeMetricFamily("batchgate_workers", "Processes with a worker that live, as far as is known.")
        if state:
            workers.add_metric([], state.workers)
        yield from (problems, workers)


def _gates(limiters: Mapping[tuple[str, str], tuple[float, int]]) -> Iterator[Metric]:
    labels = ["account", "model"]
    limit = GaugeMetricFamily("batchgate_concurrency_limit", "How many calls may be under way now.", labels=labels)
    in_flight = GaugeMetricFamily("batchgate_upstream_calls_in_flight", "Calls under way now.", labels=labels)
    for key, (most, now) in limiters.items():
        limit.add_metric(key, most)
        in_flight.add_metric(key, now)
    yield from (limit, in_flight)


def _backlog(state: EngineState | None, counted: Mapping[str, Counter[BatchStatus]]) -> Iterator[Metric]:
    labels = [LABEL, "status"]
    batches = GaugeMetricFamily("batchgate_batches", "Batches that have not ended, by status.", labels=labels)
    waiting = GaugeMetricFamily("batchgate_shards_waiting", "Shards that no worker holds.")
    oldest = GaugeMetricFamily(
        "batchgate_oldest_shard_wait_seconds", "How long ago the oldest batch with a waiting shard was created."
    )
    if state and state.backlog:
        for workspace, status in product(counted, OPEN_STATUSES):
            batches.add_metric([workspace, status], counted[workspace][status])
        waiting.add_metric([], state.backlog.waiting_shards)
        oldest.add_metric([], state.waiting_seconds)
    yield from (batches, waiting, oldest)
