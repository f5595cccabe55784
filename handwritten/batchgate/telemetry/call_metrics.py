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
"""Models of one workspace with time series of their own; callers choose the names, so their number is bounded."""
MAX_TALLIES: Final = 1_000
"""Combinations of workspace, account and model with time series of their own, beside the first of each workspace."""
FIRST_MODELS: Final = 5
"""Models of one workspace that have time series of their own however many those of other workspaces have."""
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
        self._models: dict[str, set[tuple[str, str]]] = {}
        """The accounts and models with a label, by the label of the workspace: none uses up those of another."""
        self._labelled: set[tuple[str, str]] = set()
        """Those of all workspaces."""

    def tally(self, workspace: str, account: str, model: str) -> CallTally:
        """Return the tally of a model, or the shared tally beyond the bound."""
        tally = self._tallies.get((workspace, account, model))
        if tally is not None:
            return tally
        label = self._workspaces(workspace)
        models = self._models.setdefault(label, set())
        has_room = len(self._tallies) < MAX_TALLIES or len(models) < FIRST_MODELS
        has_label = has_room and self._add(models, account, model)
        if has_label:
            self._labelled.add((account, model))
        return self._tallies.setdefault((label, account, model if has_label else OTHER_MODELS), CallTally())

    def label(self, account: str, model: str) -> str:
        """Return the label of a model of any workspace."""
        known = (account, model) in self._labelled or self._add(self._labelled, account, model)
        return model if known else OTHER_MODELS

    @staticmethod
    def _add(models: set[tuple[str, str]], account: str, model: str) -> bool:
        """Add a model if there is room for it; return whether it is among the models."""
        if len(models) < MAX_MODELS and len(model) <= MAX_MODEL_LENGTH:
            models.add((account, model))
        return (account, model) in models

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
