"""Batches from files: upload and create of 50,000 lines beyond a bare write, their validation, and memory growth."""

from __future__ import annotations

import os
import statistics
import time
import urllib.request
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import urlsplit

import msgspec
import psutil

from batchgate_api.openai import Batch, FileObject
from tests.benchmarks.memory import PeakMemory
from tests.benchmarks.table import Row
from tests.support.gateway_process import GatewayProcess

LINES: Final = 50_000
ROUNDS: Final = 3
PROMPT: Final = "word " * 443
SETTINGS: Final = (
    'shutdown_timeout = 0\n[accounts.openai]\nprovider = "simulator"\nconcurrency = 1\nsimulator.latency = 600\n'
)
MEGABYTE: Final = 1_000_000
BOUNDARY: Final = "7d1fe0b4c2a84e9b"
POLL: Final = 0.04  # seconds; polling more often would distort the measurement


def input_files() -> Iterator[Row]:
    """Measure upload and create from first byte to response, then the validation up to the first request."""
    content = input_of(LINES)
    size = len(content) / MEGABYTE
    with TemporaryDirectory() as folder:
        baselines, takes, rates, growths = [], [], [], []
        for _ in range(ROUNDS):
            baselines.append(_baseline(content, Path(folder) / "baseline"))
            taken, validated, growth = _submit(content, Path(folder))
            takes.append(taken)
            rates.append(size / validated)
            growths.append(growth)
    baseline, take = statistics.median(baselines), statistics.median(takes)
    note = f"{size:.0f} MB: {take:.2f} s, a bare write {baseline:.2f} s"
    yield Row("upload and create of 50,000 lines, beyond a bare write", take - baseline, "s", "at most", 2, note)
    yield Row("validation of that file", statistics.median(rates), "MB/s", "at least", 100, "up to its first request")
    runs = ", ".join(f"{growth:.0f}" for growth in growths)
    yield Row("memory growth of both", statistics.median(growths), "MB", "at most", 64, f"median of {runs}")


def input_of(lines: int) -> bytes:
    """Return an input file with this many lines of about 2.3 KB."""
    start = b'{"custom_id":"request-%06d","method":"POST","url":"/v1/chat/completions","body":'
    body = b'{"model":"m","max_tokens":64,"messages":[{"role":"user","content":"%s"}]}}\n' % PROMPT.encode()
    return b"".join(start % number + body for number in range(lines))


def _baseline(content: bytes, path: Path) -> float:
    """Write and sync the bytes; return the seconds that this took."""
    begun = time.perf_counter()
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    seconds = time.perf_counter() - begun
    path.unlink()
    return seconds


def _submit(content: bytes, folder: Path) -> tuple[float, float, float]:
    """Create a batch from a file on a new gateway; return the seconds of both steps and the memory growth in MB."""
    with TemporaryDirectory(dir=folder) as data, GatewayProcess(data_dir=Path(data), settings=SETTINGS) as gateway:
        with PeakMemory(psutil.Process(gateway.pid)) as memory:
            begun = time.perf_counter()
            batch = _create(gateway.url, _upload(gateway.url, content))
            created = time.perf_counter()
            while batch.status == "validating":
                time.sleep(POLL)
                batch = _read(urllib.request.Request(f"{gateway.url}/openai/v1/batches/{batch.id}"))
            ended = time.perf_counter()
        assert (batch.status, batch.request_counts.total) == ("in_progress", LINES), batch
    return created - begun, ended - created, memory.growth / MEGABYTE


def _upload(url: str, content: bytes) -> str:
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'
    ).encode()
    tail = f"\r\n--{BOUNDARY}--\r\n".encode()
    headers = {
        "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
        "Content-Length": str(len(head) + len(content) + len(tail)),
    }
    host = urlsplit(url)
    connection = HTTPConnection(str(host.hostname), host.port)
    connection.request("POST", "/openai/v1/files", body=iter((head, content, tail)), headers=headers)
    response = connection.getresponse()
    answer = response.read()
    connection.close()
    assert response.status == 200, answer
    return msgspec.json.decode(answer, type=FileObject).id


def _create(url: str, file_id: str) -> Batch:
    body = {"input_file_id": file_id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    headers = {"Content-Type": "application/json"}
    return _read(urllib.request.Request(f"{url}/openai/v1/batches", data=msgspec.json.encode(body), headers=headers))


def _read(request: urllib.request.Request) -> Batch:
    with urllib.request.urlopen(request) as response:
        return msgspec.json.decode(response.read(), type=Batch)
