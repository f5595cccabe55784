"""A provider that admits four calls at once and refuses the rest: no request fails, little capacity is lost."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks.gateway_calls import create, ended
from tests.benchmarks.table import Row
from tests.support.gateway_process import GatewayProcess
from tests.support.simulated_upstream import SimulatedUpstream, simulated_upstream

REQUESTS = 1_000
LATENCY = 0.05  # seconds
MAX_CONCURRENCY = 4
RETRY_AFTER = 1
ROUNDS = 3


def rate_limited() -> Iterator[Row]:
    """Measure how much of the provider's capacity the gateway uses, including the time to find the limit."""
    options = ("--latency", str(LATENCY), "--max-concurrency", str(MAX_CONCURRENCY), "--retry-after", str(RETRY_AFTER))
    with simulated_upstream(*options) as upstream:
        runs = [_run(upstream) for _ in range(ROUNDS)]
    throughput = statistics.median(REQUESTS / seconds for seconds, _, _ in runs)
    ideal = MAX_CONCURRENCY / LATENCY
    refused = statistics.median(refused for _, _, refused in runs)
    note = f"{throughput:.1f} over {ideal:.0f} requests/s; {refused:.0f} calls refused for {REQUESTS} served"
    yield Row("rate-limited upstream (admits 4), throughput over ideal", throughput / ideal, "", "at least", 0.90, note)
    yield Row("rate-limited upstream, failed", sum(failed for _, failed, _ in runs), "", "at most", 0)


def _run(upstream: SimulatedUpstream) -> tuple[float, int, int]:
    """Run a batch on a new gateway; return its seconds, failed requests and refused calls."""
    upstream.reset()
    settings = f'[accounts.anthropic]\nprovider = "anthropic"\nbase_url = "{upstream.url}"\n'
    params = {"model": "m", "max_tokens": 64, "messages": [{"role": "user", "content": "Hello"}]}
    requests: list[dict[str, object]] = [
        {"custom_id": f"r{number}", "params": params | {"metadata": {"user_id": f"{number}"}}}
        for number in range(REQUESTS)
    ]
    with TemporaryDirectory() as folder, GatewayProcess(data_dir=Path(folder), settings=settings) as gateway:
        batch = ended(gateway.url, create(gateway.url, requests))
    assert batch.ended_at is not None
    elapsed = datetime.fromisoformat(batch.ended_at) - datetime.fromisoformat(batch.created_at)
    return elapsed.total_seconds(), REQUESTS - batch.request_counts.succeeded, upstream.stats().answered.get("429", 0)
