"""The time from the restart of a killed gateway to its first call upstream."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.benchmarks.gateway_calls import create, progress
from tests.benchmarks.table import Row
from tests.support.gateway_process import GatewayProcess
from tests.support.simulated_upstream import SimulatedUpstream, simulated_upstream

REQUESTS = 100_000
DONE = 5_000
"""Results that exist when the gateway is killed."""
ROUNDS = 3
POLL = 0.01  # seconds


def restart() -> Iterator[Row]:
    """Kill a gateway during a batch of 100,000 requests, several times, and wait for its next call upstream."""
    with simulated_upstream("--latency", "0.05") as upstream, TemporaryDirectory() as folder:
        settings = f'[accounts.anthropic]\nprovider = "anthropic"\nbase_url = "{upstream.url}"\nconcurrency = 256\n'
        seconds = list(_rounds(upstream, Path(folder), settings))
    runs = ", ".join(f"{value:.2f}" for value in seconds)
    row = "restart after kill -9 to the first call upstream"
    yield Row(row, statistics.median(seconds), "s", "at most", 3, f"median of {runs}")


def _rounds(upstream: SimulatedUpstream, folder: Path, settings: str) -> Iterator[float]:
    params = {"model": "m", "max_tokens": 64, "messages": [{"role": "user", "content": "Hello"}]}
    with GatewayProcess(data_dir=folder, settings=settings) as gateway:
        batch = create(gateway.url, [{"custom_id": f"r{number}", "params": params} for number in range(REQUESTS)])
        while progress(gateway.url, batch.id).succeeded < DONE:
            time.sleep(POLL)
        gateway.kill()
    for _ in range(ROUNDS):
        upstream.reset()
        begun = time.perf_counter()
        with GatewayProcess(data_dir=folder, settings=settings) as gateway:
            while upstream.stats().calls == 0:
                time.sleep(POLL)
            yield time.perf_counter() - begun
            gateway.kill()
