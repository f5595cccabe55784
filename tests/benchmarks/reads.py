"""Retrieve and list of 20 on one core, over a bare aiohttp application that sends the same bytes; long lists.

The server's process has one core, the client another. The rates of gateway and baseline are measured in turn, in the
same run; a ratio is the median of the rounds. The notes have the processor time of a request as well, which other work
of the machine disturbs less.
"""

from __future__ import annotations

import os
import sqlite3
import statistics
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import urlsplit

import psutil
from msgspec import Struct

from batchgate.engine.model.clock import MICROSECONDS
from tests.benchmarks.bare_server import Answer, BareServer, bare_server
from tests.benchmarks.gateway_calls import BATCHES
from tests.benchmarks.http_load import send_load
from tests.benchmarks.stall import Prober
from tests.benchmarks.table import Row
from tests.support.gateway_process import GatewayProcess

CORES: Final = sorted(os.sched_getaffinity(0))
SERVER_CORE: Final = CORES[0]
CLIENT_CORE: Final = CORES[-1]
STORED: Final = 1_000
"""Batches in the database."""
FILES: Final = 10_000
LISTS: Final = 30
ROUNDS: Final = 5
SECONDS: Final = 1.5
OPENAI: Final = "/openai/v1/batches"
TARGETS: Final[Mapping[str, float]] = {"retrieve": 0.70, "list of 20": 0.45}
SET_BY_AIOHTTP: Final = frozenset({"content-length", "date"})
AGE: Final = 3600
"""Seconds since the first batch was created; the others follow a second apart. None is old enough to be archived."""

INSERT_BATCHES: Final = """
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count)
INSERT INTO batches (
    id, workspace, dialect, terms, provider, providers, headers, status, total, succeeded, input_tokens, output_tokens,
    open_shards, created_at, expires_at, in_progress_at, ended_at, caller, fingerprint, input_blob, input_size,
    results_blob, results_size, output_size
)
SELECT
    printf('msgbatch_01%022d', n), 'default', 'anthropic', '{"kind":"messages"}', 'simulator', '["simulator"]',
    '{"anthropic-version":"2023-06-01"}', 'ended', 10, 10, 1000, 500, 0, :at + n * 1000000,
    :at + 86400000000 + n * 1000000, :at + n * 1000000 + 2345, :at + n * 1000000 + 9876543, '', randomblob(16),
    'input', 10000, 'results', 20000, 20000
FROM numbers
"""
INSERT_FILES: Final = """
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count)
INSERT INTO files (id, workspace, provider, purpose, filename, size, sha256, created_at, expires_at, blob)
SELECT printf('file-%022d', n), 'default', 'openai', 'batch', printf('input-%d.jsonl', n), 1000000, randomblob(32),
    :at, NULL, printf('files/%d/content', n)
FROM numbers
"""


class _Measured(Struct, frozen=True):
    """Requests a second, and the microseconds of processor time that each took."""

    rate: float
    cost: float


def reads() -> Iterator[Row]:
    """Measure both surfaces, then the callers of /health while long lists run."""
    with TemporaryDirectory() as folder:
        _fill(Path(folder))
        with _on_core(SERVER_CORE), GatewayProcess(data_dir=Path(folder)) as gateway:
            paths = _paths()
            answers = [_recorded(gateway.url, path) for path in paths.values()]
            with bare_server(answers) as floor, _on_core(CLIENT_CORE):
                for name, path in paths.items():
                    yield _compared(name, path, gateway, floor)
            with _on_core(CLIENT_CORE):
                yield _beside_long_lists(gateway.url)


def _fill(data_dir: Path) -> None:
    """Make a database with batches and files."""
    with GatewayProcess(data_dir=data_dir):
        pass  # makes the schema
    created = time.time_ns() // 1000 - AGE * MICROSECONDS
    with closing(sqlite3.connect(data_dir / "batchgate.db")) as connection:
        connection.execute(INSERT_BATCHES, {"count": STORED, "at": created})
        connection.execute("INSERT INTO batch_providers SELECT workspace, provider, key FROM batches")
        connection.execute(INSERT_FILES, {"count": FILES, "at": created})
        connection.commit()


@contextmanager
def _on_core(core: int) -> Iterator[None]:
    """Run this process, and the processes that it starts meanwhile, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _paths() -> dict[str, str]:
    batch = f"msgbatch_01{STORED // 2:022d}"
    return {
        "retrieve, Anthropic": f"{BATCHES}/{batch}",
        "list of 20, Anthropic": f"{BATCHES}?limit=20",
        "retrieve, OpenAI": f"{OPENAI}/{batch}",
        "list of 20, OpenAI": f"{OPENAI}?limit=20",
    }


def _recorded(url: str, path: str) -> Answer:
    with urllib.request.urlopen(url + path) as response:
        headers = {name: value for name, value in response.getheaders() if name.lower() not in SET_BY_AIOHTTP}
        return Answer(urlsplit(path).path, headers, response.read().decode())


def _compared(name: str, path: str, gateway: GatewayProcess, floor: BareServer) -> Row:
    """Measure gateway and floor in turn."""
    own, bare = [], []
    for _ in range(ROUNDS):
        bare.append(_measured(floor.url, floor.pid, path))
        own.append(_measured(gateway.url, gateway.pid, path))
    ratio = statistics.median(one.rate / other.rate for one, other in zip(own, bare, strict=True))
    rates = [statistics.median(one.rate for one in many) for many in (own, bare)]
    costs = [statistics.median(one.cost for one in many) for many in (own, bare)]
    note = "{:,.0f} over {:,.0f} a second".format(*rates) + "; processor {:.0f} and {:.0f} µs".format(*costs)
    target = TARGETS[name.partition(",")[0]]
    return Row(f"{name}, over bare aiohttp on one core", ratio, "", "at least", target, note)


def _measured(url: str, pid: int, path: str) -> _Measured:
    process = psutil.Process(pid)
    before = process.cpu_times()
    load = send_load(url, path, SECONDS)
    after = process.cpu_times()
    spent = after.user + after.system - before.user - before.system
    return _Measured(load.rate, 1e6 * spent / load.requests)


def _beside_long_lists(url: str) -> Row:
    """Call /health while as many callers as `LISTS` list all files at once."""
    callers = [threading.Thread(target=_list_files, args=(url,)) for _ in range(LISTS)]
    with Prober(url) as prober:
        begun = time.perf_counter()
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        seconds = time.perf_counter() - begun
    waits = sorted(1000 * wait for wait in prober.waits)
    note = f"{len(waits)} calls; the last within {waits[-1]:.0f} ms; the lists took {seconds:.1f} s together"
    name = f"callers of /health while {LISTS} lists of {FILES:,} files run, 99% within"
    return Row(name, waits[int(0.99 * len(waits))], "ms", "at most", 50, note)


def _list_files(url: str) -> None:
    with closing(HTTPConnection(urlsplit(url).netloc)) as connection:
        connection.request("GET", "/openai/v1/files")
        response = connection.getresponse()
        answer = response.read()
    assert (response.status, answer.count(b'"id"')) == (200, FILES), answer[:200]
