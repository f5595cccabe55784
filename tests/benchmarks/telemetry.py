"""The processor time of telemetry for a request: metrics and log as in the gateway, without spans."""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Iterator

from batchgate.engine.model.shard import ResultChunk
from batchgate.engine.ports.telemetry import NoTelemetry, Telemetry
from batchgate.telemetry import CompositeTelemetry, EventLog, Metrics
from tests.benchmarks.table import Row
from tests.unit.telemetry.telemetry_values import batch, claim, ended_call, request

REQUESTS = 50_000
RUNS = 5
FLUSHED = 64
"""Results per flush; telemetry reports a flush once for all of them."""


def telemetry() -> Iterator[Row]:
    """Report requests to telemetry and subtract the time of `NoTelemetry`."""
    logging.getLogger("batchgate").setLevel(logging.INFO)
    enabled = [CompositeTelemetry(Metrics("1", "both"), EventLog()) for _ in range(RUNS)]
    costs = [_microseconds(each) - _microseconds(NoTelemetry()) for each in enabled]
    runs = ", ".join(f"{cost:.2f}" for cost in costs)
    yield Row("telemetry, a request", statistics.median(costs), "µs", "at most", 3, f"median of {runs}")


def _microseconds(telemetry: Telemetry) -> float:
    of = claim(batch())
    models = [request(model=f"model-{number}") for number in range(50)]
    chunk = ResultChunk(seqs=tuple(range(FLUSHED)), lines=b"", succeeded=FLUSHED, errored=0)
    begun = time.process_time()
    for number in range(REQUESTS):
        telemetry.call_ended(ended_call(of.batch, models[number % 50], seconds=0.4))
        if number % FLUSHED == 0:
            telemetry.results_flushed(of, chunk, seconds=0.004, native=False)
    return 1e6 * (time.process_time() - begun) / REQUESTS
