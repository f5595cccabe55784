"""A batch of 100,000 results: memory growth, time from the last response to the end, and the download rate."""

from __future__ import annotations

import statistics
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from tests.benchmarks.file_server import file_server
from tests.benchmarks.gateway_calls import create, progress, retrieve
from tests.benchmarks.memory import PeakMemory
from tests.benchmarks.table import Row
from tests.support.gateway_process import GatewayProcess

REQUESTS = 100_000
ROUNDS = 5
MEGABYTE = 1_000_000
PIECE = 1024 * 1024
FLUSH_DELAY = 0.1  # seconds that the last result may have waited for its flush
SETTINGS = """
[accounts.simulator]
provider = "simulator"
concurrency = 256
simulator.latency = 0.01
simulator.output_tokens = 128
"""


def results() -> Iterator[Row]:
    """Run the batch once, then download its results and the same file from a plain server in turn."""
    with TemporaryDirectory() as folder, GatewayProcess(data_dir=Path(folder), settings=SETTINGS) as gateway:
        batch = create(gateway.url, [_request(number) for number in range(REQUESTS)])
        with PeakMemory(psutil.Process(gateway.pid)) as memory:
            while progress(gateway.url, batch.id).succeeded < REQUESTS:
                time.sleep(0.01)
            last = time.perf_counter()
            while (batch := retrieve(gateway.url, batch.id)).processing_status != "ended":
                time.sleep(0.01)
            finalization = time.perf_counter() - last + FLUSH_DELAY
        yield Row("memory growth of a batch of 100,000 results", memory.growth / MEGABYTE, "MB", "at most", 64)
        yield Row("last response to ended, 100,000 requests", finalization, "s", "at most", 1.0)
        assert batch.results_url is not None
        (file,) = (Path(folder) / "blobs").rglob("results_*.jsonl")
        with file_server(file) as plain:
            pairs = [(_download(batch.results_url), _download(plain)) for _ in range(ROUNDS)]
        gateway_seconds, plain_seconds = (statistics.median(seconds) for seconds in zip(*pairs, strict=True))
        size = file.stat().st_size / MEGABYTE
        note = f"{size:.0f} MB: {size / gateway_seconds:,.0f} over {size / plain_seconds:,.0f} MB/s"
        yield Row("result download over FileResponse", plain_seconds / gateway_seconds, "", "at least", 0.8, note)


def _request(number: int) -> dict[str, object]:
    params = {"model": "m", "max_tokens": 256, "messages": [{"role": "user", "content": "Tell me something."}]}
    return {"custom_id": f"r{number}", "params": params}


def _download(url: str) -> float:
    begun = time.perf_counter()
    with urllib.request.urlopen(url) as response:
        while response.read(PIECE):
            pass
    return time.perf_counter() - begun
