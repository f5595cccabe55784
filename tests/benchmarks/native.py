"""A batch of 100,000 requests in a provider's jobs: its submission, the collection of its results, memory and stalls.

The provider is the simulator, in a process on another core than the gateway. It receives about three times as fast as
the target asks for. But it answers an Anthropic create only when it has checked all requests, for which the gateway
waits. So a client that does nothing else sends the same requests, and its wait after the last byte is subtracted.

The notes have the processor time of the gateway as well, which other work of the machine disturbs less.
"""

from __future__ import annotations

import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal
from urllib.parse import urlsplit

import msgspec
import psutil

from batchgate_api.gateway import BatchProgress
from tests.benchmarks.gateway_calls import BATCHES, progress
from tests.benchmarks.intake import PROMPT
from tests.benchmarks.memory import PeakMemory
from tests.benchmarks.stall import TIMED_LOOP, longest_step
from tests.benchmarks.table import Row
from tests.support.gateway_process import GatewayProcess
from tests.support.simulated_upstream import SimulatedUpstream, simulated_upstream

REQUESTS: Final = 100_000
MEGABYTE: Final = 1_000_000
POLL: Final = 0.04  # seconds; polling more often would distort the measurement
JOB_SECONDS: Final = 600
"""Simulated seconds after which every job has ended."""
HEADERS: Final = {"Content-Type": "application/json", "x-api-key": "any", "anthropic-version": "2023-06-01"}


@dataclass(frozen=True)
class Lane:
    """A provider, and the surface on which a batch needs no translation for it."""

    provider: Literal["openai", "anthropic"]
    base: str
    path: str
    field: str
    """The field of a request with its params."""
    max_tokens: int
    """Tokens of each answer, with which the results of all requests have 88 MB."""


LANES: Final = (
    Lane("openai", "/openai/v1", "/openai/v1/batches", "body", 101),
    Lane("anthropic", "/anthropic", BATCHES, "params", 126),
)


@dataclass(frozen=True)
class Spent:
    """Seconds by the clock, and seconds of the gateway's processor time."""

    elapsed: float = 0.0
    processor: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.elapsed + other.elapsed, self.processor + other.processor)

    def __sub__(self, other: Spent) -> Spent:
        return Spent(self.elapsed - other.elapsed, self.processor - other.processor)

    def row(self, name: str, size: int, target: float, note: str) -> Row:
        """Return the row of a rate."""
        megabytes = size / MEGABYTE
        note = f"{megabytes:.0f} MB in {self.elapsed:.2f} s, of the processor {self.processor:.2f}{note}"
        return Row(name, megabytes / self.elapsed, "MB/s", "at least", target, note)


def native() -> Iterator[Row]:
    """Run a batch in the jobs of either provider."""
    for lane in LANES:
        body = _body(lane)
        checks = Spent(_seconds_of_checks(lane, body)) if lane.provider == "anthropic" else Spent()
        with simulated_upstream("--batches", "--latency", "0") as upstream, TemporaryDirectory() as folder:
            psutil.Process(upstream.pid).cpu_affinity([0])
            yield from _run(lane, body, checks, upstream, Path(folder))


def _run(lane: Lane, body: bytes, checks: Spent, upstream: SimulatedUpstream, folder: Path) -> Iterator[Row]:
    settings = f'[accounts.upstream]\nprovider = "{lane.provider}"\nbase_url = "{upstream.url}{lane.base}"\n'
    settings += 'api_key = "any"\nlane = "auto"\n'
    times = folder / "loop_times"
    environment = {"PYTHONPATH": ":".join([str(TIMED_LOOP), *sys.path]), "LOOP_TIMES": str(times)}
    with GatewayProcess(data_dir=folder / "data", settings=settings, environment=environment) as gateway:
        process = psutil.Process(gateway.pid)
        process.cpu_affinity([1])
        with PeakMemory(process) as memory:
            batch_id, _ = _create(gateway.url + lane.path, body)
            submission = _submission(gateway.url, process, batch_id)
            _end_jobs(upstream)
            collection = _collection(gateway.url, process, batch_id)
        ended = progress(gateway.url, batch_id)
        assert ended.succeeded == sum(job.answered for job in ended.jobs) == REQUESTS
    (results,) = (folder / "data" / "blobs").rglob("results_*.jsonl")
    name = f"native lane of {lane.provider}, {REQUESTS:,} requests"
    note = f"; the provider's checks took {checks.elapsed:.2f} s more" if checks.elapsed else ""
    note = f"; {len(ended.jobs)} jobs, planned and sent{note}"
    yield (submission - checks).row(f"{name}: submission", len(body), 100, note)
    yield collection.row(f"{name}: collection", results.stat().st_size, 60, "")
    yield Row(f"{name}: memory growth", memory.growth / MEGABYTE, "MB", "at most", 64, "from the create to the end")
    longest = longest_step(times)
    note = f"from the start to the end; of the processor at most {longest.processor:.0f}"
    yield Row(f"{name}: event-loop stall, worst", longest.elapsed, "ms", "at most", 50, note)


def _body(lane: Lane) -> bytes:
    """Return the body of a create; its requests have about 2.3 KB each."""
    message = b'{"role":"user","content":"%s"}' % PROMPT.encode()
    params = b'{"model":"m","max_tokens":%d,"messages":[%s]}' % (lane.max_tokens, message)
    written = (b'{"custom_id":"request-%06d","%s":%s}' % (n, lane.field.encode(), params) for n in range(REQUESTS))
    return b'{"requests":[' + b",".join(written) + b"]}"


def _seconds_of_checks(lane: Lane, body: bytes) -> float:
    """Send the same requests to a provider of their own; return the seconds between the last byte and the answer."""
    with simulated_upstream("--batches") as upstream:
        psutil.Process(upstream.pid).cpu_affinity([0])
        return _create(f"{upstream.url}{lane.base}/v1/messages/batches", body)[1]


def _create(url: str, body: bytes) -> tuple[str, float]:
    """Create a batch; return its id, and the seconds between the last byte and the answer."""
    host = urlsplit(url)
    connection = HTTPConnection(str(host.hostname), host.port)
    connection.request("POST", host.path, body=body, headers=HEADERS)
    sent = time.perf_counter()
    response = connection.getresponse()
    seconds = time.perf_counter() - sent
    answer = response.read()
    connection.close()
    assert response.status == 200, answer
    return str(msgspec.json.decode(answer)["id"]), seconds


def _submission(url: str, process: psutil.Process, batch_id: str) -> Spent:
    """Poll a new batch until all of its jobs run."""
    begun = _spent(process)
    while not _are_submitted(progress(url, batch_id)):
        time.sleep(POLL)
    return _spent(process) - begun


def _are_submitted(batch: BatchProgress) -> bool:
    return bool(batch.jobs) and all(job.state not in {"planned", "submitting"} for job in batch.jobs)


def _collection(url: str, process: psutil.Process, batch_id: str) -> Spent:
    """Poll a batch until it has ended; return what was spent while any of its jobs was collected.

    Each job asks for its end at a moment of its own, so they need not follow each other at once.
    """
    total, last = Spent(), _spent(process)
    while (batch := progress(url, batch_id)).status != "ended":
        before, last = last, _spent(process)
        if any(job.state == "collecting" for job in batch.jobs):
            total += last - before
        time.sleep(POLL)
    return total


def _spent(process: psutil.Process) -> Spent:
    times = process.cpu_times()
    return Spent(time.perf_counter(), times.user + times.system)


def _end_jobs(upstream: SimulatedUpstream) -> None:
    """Let the provider answer all requests."""
    body = msgspec.json.encode({"advance": JOB_SECONDS})
    with urllib.request.urlopen(urllib.request.Request(f"{upstream.url}/simulator/clock", data=body)):
        pass
