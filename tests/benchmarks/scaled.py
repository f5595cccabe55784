"""PostgreSQL over the embedded store, and three workers over one, on the same upstream in one run."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from tests.benchmarks.direct import PROMPT
from tests.benchmarks.gateway_calls import create, ended
from tests.benchmarks.table import Row
from tests.support.gateway_process import GatewayProcess, WorkerProcess
from tests.support.postgres_server import dedicated_server
from tests.support.simulated_upstream import SimulatedUpstream, simulated_upstream

ROUNDS = 3
EMBEDDED_OVER_POSTGRES = 0.8
THREE_OVER_ONE = 1.6
IN_FLIGHT_EACH = 64


def scaled() -> Iterator[Row]:
    """Measure both with a latency that limits the throughput; the first also where the processor is the limit."""
    yield _postgres_over_embedded("400 ms a call", "0.4", 5_000)
    yield _postgres_over_embedded("50 ms a call", "0.05", 20_000)
    yield _three_over_one()


def _postgres_over_embedded(what: str, latency: str, requests: int) -> Row:
    embedded, postgres = [], []
    with simulated_upstream("--latency", latency) as upstream:
        psutil.Process(upstream.pid).cpu_affinity([0])
        for _ in range(ROUNDS):
            embedded.append(_embedded(upstream, requests))
            postgres.append(_workers(upstream, requests, workers=0, concurrency=256))
    ratio = statistics.median(embedded) / statistics.median(postgres)
    note = (
        f"{requests / statistics.median(postgres):,.0f} over {requests / statistics.median(embedded):,.0f} requests/s"
    )
    return Row(f"PostgreSQL over embedded, {what}", ratio, "", "at least", EMBEDDED_OVER_POSTGRES, note)


def _three_over_one() -> Row:
    requests, one, three = 6_000, [], []
    with simulated_upstream("--latency", "0.4") as upstream:
        for _ in range(ROUNDS):
            one.append(_workers(upstream, requests, workers=1, concurrency=IN_FLIGHT_EACH))
            three.append(_workers(upstream, requests, workers=3, concurrency=3 * IN_FLIGHT_EACH))
    ratio = statistics.median(one) / statistics.median(three)
    note = f"{requests / statistics.median(three):,.0f} over {requests / statistics.median(one):,.0f} requests/s"
    return Row("three workers over one, 64 in flight each", ratio, "", "at least", THREE_OVER_ONE, note)


def _embedded(upstream: SimulatedUpstream, requests: int) -> float:
    with TemporaryDirectory() as folder, GatewayProcess(data_dir=Path(folder), settings=_account(upstream, 256)) as one:
        psutil.Process(one.pid).cpu_affinity([1])
        return _run(one.url, requests)


def _workers(upstream: SimulatedUpstream, requests: int, *, workers: int, concurrency: int) -> float:
    """Run a batch on PostgreSQL, in the gateway itself or on this number of workers; return its seconds."""
    with TemporaryDirectory() as folder, ExitStack() as fleet:
        database = fleet.enter_context(dedicated_server())
        blobs = (Path(folder) / "blobs").as_uri()
        settings = f'database_url = "{database.url()}"\nblob_url = "{blobs}"\n{_account(upstream, concurrency)}'
        options = ("--no-worker",) if workers else ()
        place = Path(folder) / "data"
        gateway = fleet.enter_context(GatewayProcess(data_dir=place, settings=settings, options=options))
        for _ in range(workers):
            fleet.enter_context(WorkerProcess(data_dir=place, settings=settings))
        return _run(gateway.url, requests)


def _account(upstream: SimulatedUpstream, concurrency: int) -> str:
    return f'[accounts.anthropic]\nprovider = "anthropic"\nbase_url = "{upstream.url}"\nconcurrency = {concurrency}\n'


def _run(url: str, number: int) -> float:
    requests: list[dict[str, object]] = [
        {
            "custom_id": f"r{i}",
            "params": {"model": "m", "max_tokens": 64, "messages": [{"role": "user", "content": f"{i}: {PROMPT}"}]},
        }
        for i in range(number)
    ]
    batch = ended(url, create(url, requests))
    assert batch.request_counts.succeeded == number, batch
    assert batch.ended_at is not None
    elapsed = datetime.fromisoformat(batch.ended_at) - datetime.fromisoformat(batch.created_at)
    return elapsed.total_seconds()
