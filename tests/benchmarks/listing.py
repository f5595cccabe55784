"""The rates of retrieve and list with a million batches over the rates with a thousand."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import psycopg

from batchgate.store.postgres import PostgresAddress
from batchgate.store.postgres.migrate import migrate
from tests.benchmarks.gateway_calls import BATCHES
from tests.benchmarks.table import Row
from tests.support.gateway_process import SIMULATOR, GatewayProcess
from tests.support.postgres_server import PostgresServer, dedicated_server

SMALL, LARGE = 1_000, 1_000_000
SECONDS = 2.0
ROUNDS = 3
COLUMNS = """
    id, workspace, dialect, terms, provider, providers, headers, status, total, succeeded, open_shards, created_at,
    expires_at, in_progress_at, ended_at, archived_at, caller, fingerprint
"""
SQLITE = f"""
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count)
INSERT INTO batches ({COLUMNS})
SELECT
    printf('msgbatch_01%022d', n), 'default', 'anthropic', '{{}}', 'simulator', '["simulator"]', '{{}}', 'ended', 10,
    10, 0, n, n, n, n, n, '', randomblob(16)
FROM numbers
"""
INSERT_PROVIDERS = "INSERT INTO batch_providers SELECT workspace, provider, key FROM batches"


def listing() -> Iterator[Row]:
    """Measure both sizes in turn on each database and compare their best rounds."""
    with TemporaryDirectory() as folder:
        rates = {count: _on_sqlite(Path(folder) / str(count), count) for count in (SMALL, LARGE)}
        yield from _rows("SQLite", rates)
    with TemporaryDirectory() as folder, dedicated_server() as server:
        rates = {count: _on_postgres(Path(folder) / str(count), server, count) for count in (SMALL, LARGE)}
        yield from _rows("PostgreSQL", rates)


def _rows(database: str, rates: dict[int, tuple[float, float]]) -> Iterator[Row]:
    for number, what in enumerate(("retrieve", "list of 20")):
        few, many = rates[SMALL][number], rates[LARGE][number]
        note = f"{many:,.0f} over {few:,.0f} a second"
        yield Row(f"{what}, 1,000,000 batches over 1,000, {database}", many / few, "", "at least", 0.85, note)


def _on_sqlite(data_dir: Path, count: int) -> tuple[float, float]:
    with GatewayProcess(data_dir=data_dir):
        pass  # makes the schema
    with closing(sqlite3.connect(data_dir / "batchgate.db")) as connection:
        connection.execute(SQLITE, {"count": count})
        connection.execute(INSERT_PROVIDERS)
        connection.commit()
    return _rates(data_dir, SIMULATOR, count)


def _on_postgres(data_dir: Path, server: PostgresServer, count: int) -> tuple[float, float]:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE of_{count}".encode())
    url = server.url(f"of_{count}")
    migrate(PostgresAddress(url))
    with psycopg.connect(url, autocommit=True) as connection:
        with connection.cursor().copy(f"COPY batches ({COLUMNS}) FROM STDIN".encode()) as copy:
            for n in range(1, count + 1):
                names = (_id(n), "default", "anthropic", "{}", "simulator", '["simulator"]', "{}", "ended")
                copy.write_row((*names, 10, 10, 0, n, n, n, n, n, "", n.to_bytes(16)))
        connection.execute(INSERT_PROVIDERS.encode())
        connection.execute(b"VACUUM ANALYZE")
    return _rates(data_dir, f'database_url = "{url}"\n{SIMULATOR}', count)


def _rates(data_dir: Path, settings: str, count: int) -> tuple[float, float]:
    chance = random.Random(count)
    with GatewayProcess(data_dir=data_dir, settings=settings) as gateway:
        host = urlsplit(gateway.url)
        with closing(HTTPConnection(str(host.hostname), host.port)) as connection:
            return (
                _rate(connection, lambda: f"{BATCHES}/{_id(chance.randint(1, count))}"),
                _rate(connection, lambda: f"{BATCHES}?limit=20&after_id={_id(chance.randint(100, count))}"),
            )


def _rate(connection: HTTPConnection, path: Callable[[], str]) -> float:
    """Send one call after another, in several rounds; return the best rate, which was disturbed least."""
    best = 0.0
    for _ in range(ROUNDS):
        calls, begun = 0, time.perf_counter()
        while time.perf_counter() - begun < SECONDS:
            connection.request("GET", path())
            response = connection.getresponse()
            answer = response.read()
            assert response.status == 200, answer
            calls += 1
        best = max(best, calls / (time.perf_counter() - begun))
    return best


def _id(number: int) -> str:
    return f"msgbatch_01{number:022d}"
