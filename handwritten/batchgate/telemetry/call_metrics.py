"""Metrics of the calls to providers, per account and model and per workspace.

Each request updates these counts, so they are plain integers of the event loop's thread: a counter and a histogram of
prometheus_client take 2.2 microseconds a call for their locks, these a quarter of that.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

LATENCY_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Upper bounds of the latency histogram, in seconds."""
BUCKET_NAMES: Final = (*map(str, LATENCY_BUCKETS), "+Inf")

MAX_MODELS: Final = 200
"""Models with time series of their own; their names come from callers, so their number is bounded."""
MAX_TALLIES: Final = 1_000
"""Combinations of workspace, account and model with time series of their own."""
MAX_MODEL_LENGTH: Final = 128
"""Longest model name, in characters, that becomes a label."""
OTHER_MODELS: Final = "other"
"""The label of all other models."""


class CallTally:
    """Counts the calls of one workspace to one model of one account."""

    __slots__ = ("_buckets", "_outcomes", "_retries", "_seconds")

    def __init__(self) -> None:
        self._outcomes: Counter[str] = Counter()
        self._retries: Counter[str] = Counter()
        self._buckets = [0] * len(BUCKET_NAMES)
        self._seconds = 0.0

    def record_call(self, outcome: str, seconds: float) -> None:
        """Count a call."""
        self._outcomes[outcome] += 1
        self._buckets[bisect_left(LATENCY_BUCKETS, seconds)] += 1
        self._seconds += seconds

    def record_retry(self, reason: str) -> None:
        """Count a retry."""
        self._retries[reason] += 1

    def export(
        self,
        labels: list[str],
        calls: CounterMetricFamily,
        latency: HistogramMetricFamily,
        retries: CounterMetricFamily,
    ) -> None:
        """Add the counts to the metric families of a scrape."""
        for outcome, number in self._outcomes.copy().items():
            calls.add_metric([*labels, outcome], number)
        for reason, number in self._retries.copy().items():
            retries.add_metric([*labels, reason], number)
        buckets = list(zip(BUCKET_NAMES, accumulate(self._buckets), strict=True))
        latency.add_metric(labels, buckets, self._seconds)


class CallMetrics(Collector):
    """The counts of all workspaces, accounts and models; their number is bounded."""

    def __init__(self, workspaces: Callable[[str], str]) -> None:
        self._workspaces = workspaces
        self._tallies: dict[tuple[str, str, str], CallTally] = {}
        self._models: set[tuple[str, str]] = set()

    def tally(self, workspace: str, account: str, model: str) -> CallTally:
        """Return the tally of a model, or the shared tally beyond the bound."""
        tally = self._tallies.get((workspace, account, model))
        if tally is not None:
            return tally
        name = self.label(account, model) if len(self._tallies) < MAX_TALLIES else OTHER_MODELS
        return self._tallies.setdefault((self._workspaces(workspace), account, name), CallTally())

    def label(self, account: str, model: str) -> str:
        """Return the label of a model."""
        if len(self._models) < MAX_MODELS and len(model) <= MAX_MODEL_LENGTH:
            self._models.add((account, model))
        return model if (account, model) in self._models else OTHER_MODELS

    def collect(self) -> Iterator[Metric]:
        """Yield the current metrics."""
        labels = ["workspace", "account", "model"]
        calls = CounterMetricFamily(
            "batchgate_upstream_calls", "Calls to providers that have ended.", labels=[*labels, "outcome"]
        )
        latency = HistogramMetricFamily(
            "batchgate_upstream_call_duration_seconds", "Duration of calls to providers.", labels=labels
        )
        retries = CounterMetricFamily(
            "batchgate_retries", "Retries of calls, by the error before.", labels=[*labels, "reason"]
        )
        # A scrape runs in another thread while the event loop continues to count.
        for names, tally in self._tallies.copy().items():
            tally.export(list(names), calls, latency, retries)
        yield from (calls, latency, retries)
