"""Direct throughput: a durable batch through the gateway over a bare client loop against the same upstream.

The upstream has one core. The gateway and the loop run on the other core, one after the other.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import psutil

from tests.benchmarks.gateway_calls import create, ended
from tests.benchmarks.table import Row
from tests.support.gateway_process import GatewayProcess
from tests.support.simulated_upstream import SimulatedUpstream, simulated_upstream

IN_FLIGHT = 256
ROUNDS = 3
PROMPT = "Tell me a story about a river. " * 8


@dataclass(frozen=True)
class Load:
    """The number of requests, and the latency of the upstream in seconds."""

    requests: int
    latency: float


@dataclass(frozen=True)
class Run:
    """The elapsed and the processor time of one run, in seconds."""

    elapsed: float
    processor: float


def direct() -> Iterator[Row]:
    """Measure with a latency that limits the throughput, and with one at which the processor does."""
    waiting, _ = _ratios(Load(5_000, 0.4))
    yield Row("direct throughput, 400 ms a call", waiting[0], "", "at least", 0.97, waiting[1])
    throughput, processor = _ratios(Load(20_000, 0.05))
    yield Row("direct throughput, 50 ms a call", throughput[0], "", "at least", 0.60, throughput[1])
    yield Row("processor per request over the bare loop", processor[0], "", "at most", 1.7, processor[1])


def _ratios(load: Load) -> tuple[tuple[float, str], tuple[float, str]]:
    """Run loop and gateway in turn; return the ratios of median throughput and processor time, each with a note."""
    with simulated_upstream("--latency", str(load.latency)) as upstream, TemporaryDirectory() as folder:
        psutil.Process(upstream.pid).cpu_affinity([0])
        loops, batches = [], []
        for _ in range(ROUNDS):
            loops.append(_bare_loop(upstream, load, Path(folder)))
            batches.append(_gateway(upstream, load))
    loop, batch = statistics.median(run.elapsed for run in loops), statistics.median(run.elapsed for run in batches)
    loop_cpu = statistics.median(run.processor for run in loops) / load.requests
    batch_cpu = statistics.median(run.processor for run in batches) / load.requests
    return (
        (loop / batch, f"{load.requests / batch:,.0f} over {load.requests / loop:,.0f} requests/s"),
        (batch_cpu / loop_cpu, f"{batch_cpu * 1e6:.0f} over {loop_cpu * 1e6:.0f} µs"),
    )


def _params(number: int) -> dict[str, object]:
    return {"model": "m", "max_tokens": 64, "messages": [{"role": "user", "content": f"{number}: {PROMPT}"}]}


def _bare_loop(upstream: SimulatedUpstream, load: Load, folder: Path) -> Run:
    bodies = folder / "bodies.jsonl"
    bodies.write_bytes(b"".join(msgspec.json.encode(_params(number)) + b"\n" for number in range(load.requests)))
    command = [sys.executable, "-m", "tests.benchmarks.bare_loop", f"{upstream.url}/v1/messages", str(bodies)]
    with subprocess.Popen([*command, str(IN_FLIGHT)], stdout=subprocess.PIPE, text=True) as process:
        psutil.Process(process.pid).cpu_affinity([1])
        output, _ = process.communicate()
    elapsed, processor = map(float, output.split())
    return Run(elapsed, processor)


def _gateway(upstream: SimulatedUpstream, load: Load) -> Run:
    settings = f'[accounts.anthropic]\nprovider = "anthropic"\nbase_url = "{upstream.url}"\nconcurrency = {IN_FLIGHT}\n'
    requests: list[dict[str, object]] = [
        {"custom_id": f"r{number}", "params": _params(number)} for number in range(load.requests)
    ]
    with TemporaryDirectory() as folder, GatewayProcess(data_dir=Path(folder), settings=settings) as gateway:
        process = psutil.Process(gateway.pid)
        process.cpu_affinity([1])
        before = process.cpu_times()
        batch = ended(gateway.url, create(gateway.url, requests))
        after = process.cpu_times()
    assert batch.request_counts.succeeded == load.requests, batch
    assert batch.ended_at is not None
    elapsed = datetime.fromisoformat(batch.ended_at) - datetime.fromisoformat(batch.created_at)
    processor = after.user + after.system - before.user - before.system
    return Run(elapsed.total_seconds(), processor)
