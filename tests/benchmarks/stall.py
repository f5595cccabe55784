"""The longest time that the event loop of a gateway is busy without a pause, while it does everything at once.

The note of the row has the waits of callers of /health meanwhile. These include the round trip, and the time in which
the machine runs the prober, the client and the upstream instead.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import psutil

from tests.benchmarks.gateway_calls import BATCHES, create, ended
from tests.benchmarks.intake import REQUESTS, body_of
from tests.benchmarks.table import Row
from tests.support.gateway_process import GatewayProcess
from tests.support.simulated_upstream import simulated_upstream

TIMED_LOOP = Path(__file__).with_name("timed_loop")
INTERVAL = 0.005  # seconds between two probes
RUNNING = 20_000
"""Requests of the batch that runs during the create."""


@dataclass(frozen=True)
class LongestStep:
    """The longest time that an event loop was busy without a pause, in milliseconds."""

    elapsed: float
    processor: float
    """The same of the processor time of its process, which may be that of another moment."""


def longest_step(times: Path) -> LongestStep:
    """Read what `TIMED_LOOP` has written to a file."""
    elapsed, processor = (1000 * float(seconds) for seconds in times.read_text().split())
    return LongestStep(elapsed, processor)


class Prober:
    """Calls /health repeatedly while the context is entered, and records the wait of each call."""

    def __init__(self, url: str) -> None:
        self._host = urlsplit(url).netloc
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._probe)
        self.waits: list[float] = []

    def __enter__(self) -> Self:
        """Start probing."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop probing."""
        self._stop.set()
        self._thread.join()

    def _probe(self) -> None:
        connection = HTTPConnection(self._host)
        while not self._stop.wait(INTERVAL):
            begun = time.perf_counter()
            connection.request("GET", "/health")
            connection.getresponse().read()
            self.waits.append(time.perf_counter() - begun)
        connection.close()


def stall() -> Iterator[Row]:
    """Probe while a batch runs, a large create arrives, and results are finalized and downloaded."""
    body = body_of(REQUESTS)  # made first, because it would delay the prober in this process
    with simulated_upstream("--latency", "0.05") as upstream, TemporaryDirectory() as folder:
        settings = f'[accounts.anthropic]\nprovider = "anthropic"\nbase_url = "{upstream.url}"\nconcurrency = 256\n'
        psutil.Process(upstream.pid).cpu_affinity([0])
        times = Path(folder) / "loop_times"
        environment = {"PYTHONPATH": ":".join([str(TIMED_LOOP), *sys.path]), "LOOP_TIMES": str(times)}
        with GatewayProcess(data_dir=Path(folder) / "data", settings=settings, environment=environment) as gateway:
            psutil.Process(gateway.pid).cpu_affinity([1])
            with Prober(gateway.url) as prober:
                _work(gateway.url, body)
            gateway.kill()
        longest = longest_step(times)
    waits = sorted(1000 * wait for wait in prober.waits)
    note = f"of the processor at most {longest.processor:.0f}; callers of /health: "
    note += f"99% within {waits[int(0.99 * len(waits))]:.0f} ms, the last within {waits[-1]:.0f}"
    yield Row("event-loop stall, worst", longest.elapsed, "ms", "at most", 50, note)


def _work(url: str, body: bytes) -> None:
    params = {"model": "m", "max_tokens": 64, "messages": [{"role": "user", "content": "Hello"}]}
    batch = create(url, [{"custom_id": f"r{number}", "params": params} for number in range(RUNNING)])
    connection = HTTPConnection(urlsplit(url).netloc)
    connection.request("POST", BATCHES, body=body, headers={"Content-Type": "application/json"})
    response = connection.getresponse()
    assert response.status == 200, response.read()
    response.read()
    ended(url, batch)
    connection.request("GET", f"{BATCHES}/{batch.id}/results")
    connection.getresponse().read()
    connection.close()
