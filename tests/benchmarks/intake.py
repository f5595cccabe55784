"""Intake: a create of 100,000 requests (235 MB) over decoding, writing and syncing the same bytes; memory growth."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import urlsplit

import msgspec
import psutil

from tests.benchmarks.gateway_calls import BATCHES
from tests.benchmarks.memory import PeakMemory
from tests.benchmarks.table import Row
from tests.support.gateway_process import GatewayProcess

REQUESTS = 100_000
ROUNDS = 3
PROMPT: Final = "word " * 443
SETTINGS = (
    'shutdown_timeout = 0\n[accounts.simulator]\nprovider = "simulator"\nconcurrency = 1\nsimulator.latency = 600\n'
)
MEGABYTE = 1_000_000


def intake() -> Iterator[Row]:
    """Measure the create from its first byte to its response, in turn with the baseline."""
    body = body_of(REQUESTS)
    with TemporaryDirectory() as folder:
        baselines, creates, growths = [], [], []
        for _ in range(ROUNDS):
            baselines.append(_baseline(body, Path(folder) / "baseline"))
            seconds, growth = _create(body, Path(folder))
            creates.append(seconds)
            growths.append(growth)
    baseline, create = statistics.median(baselines), statistics.median(creates)
    note = f"{len(body) / MEGABYTE:.0f} MB: {baseline:.2f} s over {create:.2f} s"
    yield Row("intake of 100,000 requests", baseline / create, "", "at least", 0.5, note)
    runs = ", ".join(f"{growth:.0f}" for growth in growths)
    yield Row("memory growth of that create", statistics.median(growths), "MB", "at most", 64, f"median of {runs}")


def body_of(requests: int) -> bytes:
    """Return the body of a create with this many requests of about 2.3 KB."""
    message = b'{"role":"user","content":"%s"}' % PROMPT.encode()
    written = (
        b'{"custom_id":"request-%06d","params":{"model":"m","max_tokens":64,"messages":[%s]}}' % (number, message)
        for number in range(requests)
    )
    return b'{"requests":[' + b",".join(written) + b"]}"


def _baseline(body: bytes, path: Path) -> float:
    """Decode the whole body as JSON, write and sync the bytes; return the seconds that this took."""
    begun = time.perf_counter()
    msgspec.json.decode(body)
    with path.open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())
    seconds = time.perf_counter() - begun
    path.unlink()
    return seconds


def _create(body: bytes, folder: Path) -> tuple[float, float]:
    """Send the create to a new gateway; return its seconds and the memory growth of the gateway in MB."""
    with TemporaryDirectory(dir=folder) as data, GatewayProcess(data_dir=Path(data), settings=SETTINGS) as gateway:
        host = urlsplit(gateway.url)
        connection = HTTPConnection(str(host.hostname), host.port)
        with PeakMemory(psutil.Process(gateway.pid)) as memory:
            begun = time.perf_counter()
            connection.request("POST", BATCHES, body=body, headers={"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = response.read()
            seconds = time.perf_counter() - begun
        connection.close()
        assert response.status == 200, answer
    return seconds, memory.growth / MEGABYTE
