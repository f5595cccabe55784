"""Upstream calls, counted for each model of each account, and for each workspace.

These counts stand in the way of every request, so they are plain integers of the event loop's thread: a counter and a
histogram of prometheus_client cost 2.2 microseconds a call for their locks, these a quarter of that.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

BOUNDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Of the latency histogram, in seconds."""
BUCKET_NAMES: Final = (*map(str, BOUNDS), "+Inf")

MOST_MODELS: Final = 200
"""How many models are told apart: their names come from callers, and each has its own time series."""
MOST_TALLIES: Final = 1_000
"""How many models are told apart, counting one again for each workspace that asks for it."""
LONGEST_MODEL: Final = 128
"""How long a name may be to be told apart."""
OTHER: Final = "other"
"""The label of all further models."""


class CallTally:
    """The calls to one model of one account."""

    __slots__ = ("_buckets", "_outcomes", "_retries", "_seconds")

    def __init__(self) -> None:
        self._outcomes: Counter[str] = Counter()
        self._retries: Counter[str] = Counter()
        self._buckets = [0] * len(BUCKET_NAMES)
        self._seconds = 0.0

    def ended(self, outcome: str, seconds: float) -> None:
        """Count a call."""
        self._outcomes[outcome] += 1
        self._buckets[bisect_left(BOUNDS, seconds)] += 1
        self._seconds += seconds

    def retried(self, reason: str) -> None:
        """Count a retry."""
        self._retries[reason] += 1

    def read(
        self,
        labels: list[str],
        calls: CounterMetricFamily,
        latency: HistogramMetricFamily,
        retries: CounterMetricFamily,
    ) -> None:
        """Add what was counted to the metrics of a scrape."""
        for outcome, number in self._outcomes.copy().items():
            calls.add_metric([*labels, outcome], number)
        for reason, number in self._retries.copy().items():
            retries.add_metric([*labels, reason], number)
        buckets = list(zip(BUCKET_NAMES, accumulate(self._buckets), strict=True))
        latency.add_metric(labels, buckets, self._seconds)


class CallMetrics(Collector):
    """The tallies of all models of all workspaces; whatever callers send, their number is bounded."""

    def __init__(self, workspaces: Callable[[str], str]) -> None:
        self._workspaces = workspaces
        self._tallies: dict[tuple[str, str, str], CallTally] = {}
        self._models: set[tuple[str, str]] = set()

    def tally(self, workspace: str, account: str, model: str) -> CallTally:
        """Find the tally of a model, or the one of all others."""
        tally = self._tallies.get((workspace, account, model))
        if tally is not None:
            return tally
        name = self.label(account, model) if len(self._tallies) < MOST_TALLIES else OTHER
        return self._tallies.setdefault((self._workspaces(workspace), account, name), CallTally())

    def label(self, account: str, model: str) -> str:
        """Tell under which name a model is shown."""
        if len(self._models) < MOST_MODELS and len(model) <= LONGEST_MODEL:
            self._models.add((account, model))
        return model if (account, model) in self._models else OTHER

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics as they stand."""
        labels = ["workspace", "account", "model"]
        calls = CounterMetricFamily(
            "batchgate_upstream_calls", "Calls to providers that have ended.", labels=[*labels, "outcome"]
        )
        latency = HistogramMetricFamily(
            "batchgate_upstream_call_duration_seconds", "How long calls to providers took.", labels=labels
        )
        retries = CounterMetricFamily(
            "batchgate_retries", "Calls that were made again, by the error before.", labels=[*labels, "reason"]
        )
        # A scrape is written in a thread of its own, while the event loop goes on counting.
        for names, tally in self._tallies.copy().items():
            tally.read(list(names), calls, latency, retries)
        yield from (calls, latency, retries)
