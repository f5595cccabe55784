"""What open dashboards cost: streams of events beside a running batch, and pages of the results of a large one.

The gateway has one core; the provider and the readers of the streams have another. The runs with and without dashboards
take turns. Processor time is compared as well, which other work of the machine disturbs less.
"""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import urlsplit

import msgspec
import psutil
from msgspec import Struct

from batchgate_api.gateway import BatchRowPage
from tests.benchmarks.gateway_calls import create, ended
from tests.benchmarks.table import Row
from tests.support.gateway_process import GatewayProcess
from tests.support.simulated_upstream import simulated_upstream

DASHBOARDS: Final = 500
REQUESTS: Final = 10_000
ROUNDS: Final = 3
ROWS: Final = 100_000
PAGE: Final = 50
PAGES: Final = 300
PROMPT: Final = "Tell me a story about a river. " * 8


class _Run(Struct, frozen=True):
    """The elapsed and the processor time of a run, in seconds."""

    elapsed: float
    processor: float


def dashboard() -> Iterator[Row]:
    """Measure the streams, then the pages."""
    with simulated_upstream("--latency", "0.05") as upstream:
        psutil.Process(upstream.pid).cpu_affinity([0])
        alone, watched = [], []
        for _ in range(ROUNDS):
            alone.append(_batch(upstream.url, 0))
            watched.append(_batch(upstream.url, DASHBOARDS))
    elapsed = [statistics.median(run.elapsed for run in runs) for runs in (alone, watched)]
    processor = [statistics.median(run.processor for run in runs) / REQUESTS * 1e6 for runs in (alone, watched)]
    note = f"{REQUESTS / elapsed[1]:,.0f} over {REQUESTS / elapsed[0]:,.0f} requests/s"
    yield Row(f"throughput with {DASHBOARDS} dashboards over none", elapsed[0] / elapsed[1], "", "at least", 0.9, note)
    note = f"{processor[1]:.0f} over {processor[0]:.0f} µs a request"
    yield Row(
        f"processor with {DASHBOARDS} dashboards over none", processor[1] / processor[0], "", "at most", 1.1, note
    )
    yield _pages()


def _batch(upstream: str, dashboards: int) -> _Run:
    settings = f'max_event_streams_per_key = {2 * DASHBOARDS}\n[accounts.anthropic]\nprovider = "anthropic"\n'
    settings += f'base_url = "{upstream}"\nconcurrency = 256\n'
    params = {"model": "m", "max_tokens": 64, "messages": [{"role": "user", "content": PROMPT}]}
    requests: list[dict[str, object]] = [{"custom_id": f"r{number}", "params": params} for number in range(REQUESTS)]
    with TemporaryDirectory() as folder, GatewayProcess(data_dir=Path(folder), settings=settings) as gateway:
        process = psutil.Process(gateway.pid)
        process.cpu_affinity([1])
        with _following(gateway.url, dashboards):
            before = process.cpu_times()
            batch = ended(gateway.url, create(gateway.url, requests))
            after = process.cpu_times()
    assert batch.request_counts.succeeded == REQUESTS, batch
    assert batch.ended_at is not None
    elapsed = datetime.fromisoformat(batch.ended_at) - datetime.fromisoformat(batch.created_at)
    return _Run(elapsed.total_seconds(), after.user + after.system - before.user - before.system)


@contextmanager
def _following(url: str, streams: int) -> Iterator[None]:
    """Read so many streams of events in a thread while the context is entered."""
    loop, opened = asyncio.new_event_loop(), threading.Semaphore(0)
    host, port = urlsplit(url).hostname, urlsplit(url).port

    async def follow() -> None:
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET /api/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert b" 200 " in await reader.readline()
        opened.release()
        while await reader.read(65536):
            pass

    async def follow_all() -> None:
        await asyncio.gather(*(follow() for _ in range(streams)))

    thread = threading.Thread(target=lambda: loop.run_until_complete(follow_all()), daemon=True)
    thread.start()
    for _ in range(streams):
        assert opened.acquire(timeout=60)
    yield  # the gateway ends the streams when it stops


def _pages() -> Row:
    params = {"model": "m", "max_tokens": 64, "messages": [{"role": "user", "content": PROMPT}]}
    requests: list[dict[str, object]] = [{"custom_id": f"r{number}", "params": params} for number in range(ROWS)]
    with TemporaryDirectory() as folder, GatewayProcess(data_dir=Path(folder)) as gateway:
        batch = ended(gateway.url, create(gateway.url, requests))
        connection, after, times = HTTPConnection(urlsplit(gateway.url).netloc), "", []
        process = psutil.Process(gateway.pid)
        before = process.cpu_times()
        for _ in range(PAGES):
            started = time.perf_counter()
            connection.request("GET", f"/api/batches/{batch.id}/rows?limit={PAGE}{after}")
            page = msgspec.json.decode(connection.getresponse().read(), type=BatchRowPage)
            times.append(time.perf_counter() - started)
            assert len(page.data) == PAGE
            after = f"&after={page.next}"
        used = process.cpu_times()
        connection.close()
    processor = (used.user + used.system - before.user - before.system) / PAGES
    note = f"slowest of {PAGES}: {max(times) * 1e3:.0f} ms, {processor * 1e3:.1f} ms of processor a page"
    return Row(f"pages of {PAGE} of {ROWS:,} rows", 1 / statistics.median(times), "a second", "at least", 60, note)
