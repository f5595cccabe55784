"""Metrics of answered HTTP requests, as plain integers for the reason that `call_metrics` states."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

HTTP_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the latency histogram, in seconds."""
BUCKET_NAMES: Final = (*map(str, HTTP_BUCKETS), "+Inf")


class _Latency:
    """The latencies of one operation."""

    __slots__ = ("buckets", "seconds")

    def __init__(self) -> None:
        self.buckets = [0] * len(BUCKET_NAMES)
        self.seconds = 0.0


class HttpMetrics(Collector):
    """Counts by operation and status, and latencies by operation; the spec bounds the number of both."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()
        self._latencies: dict[str, _Latency] = {}

    def record(self, operation: str, status: int, seconds: float) -> None:
        """Count and measure a request."""
        self._requests[operation, status] += 1
        latency = self._latencies.get(operation)
        if latency is None:
            latency = self._latencies.setdefault(operation, _Latency())
        latency.buckets[bisect_left(HTTP_BUCKETS, seconds)] += 1
        latency.seconds += seconds

    def collect(self) -> Iterator[Metric]:
        """Yield the current metrics."""
        requests = CounterMetricFamily(
            "batchgate_http_requests", "HTTP requests answered.", labels=["operation", "status"]
        )
        seconds = HistogramMetricFamily(
            "batchgate_http_request_duration_seconds",
            "Time from the head of a request to the end of its response.",
            labels=["operation"],
        )
        # A scrape runs in another thread while the event loop continues to count.
        for (operation, status), number in self._requests.copy().items():
            requests.add_metric([operation, str(status)], number)
        for operation, latency in self._latencies.copy().items():
            buckets = list(zip(BUCKET_NAMES, accumulate(latency.buckets), strict=True))
            seconds.add_metric([operation], buckets, latency.seconds)
        yield from (requests, seconds)
