"""Migrations of both databases make the schema, once, whatever dies meanwhile, and keep the data that is there."""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from procrastinate.schema import SchemaManager

from batchgate.engine.model.errors import StoreError
from batchgate.store import migration_files
from batchgate.store.postgres import PostgresAddress
from batchgate.store.postgres import migrate as postgres
from batchgate.store.sqlite import SqliteStore
from tests.integration.contracts.test_store import create
from tests.support.databases import DATABASES, Database, Kind, a_bare_database
from tests.support.full_disk import full_disk
from tests.support.gateway_process import GatewayProcess
from tests.support.postgres_server import bare_database, dumped
from tests.support.running_app import MovableClock, RunningApp, running_app, simulator

STORE = Path(migration_files.__file__).parent
BEFORE = Path(__file__).parents[1] / "fixtures" / "before_migrations"
ENDS_WITHIN = 30.0  # seconds
OTHER = "CREATE TABLE other (x integer)"

_ARGUMENTS = "import sys; from pathlib import Path; target, folder = sys.argv[1], Path(sys.argv[2])\n"
SCRIPTS: dict[Kind, str] = {
    "sqlite": _ARGUMENTS
    + """
from batchgate.store.sqlite import migrate
from batchgate.store.sqlite.connection import SqliteFile
migrate.MIGRATIONS = folder
migrate.migrate(SqliteFile(Path(target)).connect)
""",
    "postgres": _ARGUMENTS
    + """
from batchgate.store.postgres import PostgresAddress, migrate
migrate.MIGRATIONS = folder
migrate.migrate(PostgresAddress(target))
""",
}
"""What a process does that starts on a database."""


def start(database: Database, folder: Path | None = None) -> subprocess.Popen[str]:
    """Have a process apply the migrations of a folder, or those that there are."""
    target = database.url or str(database.path)
    folder = folder or folder_of(database.kind)
    command = [sys.executable, "-W", "error", "-c", SCRIPTS[database.kind], target, str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def folder_of(kind: Kind) -> Path:
    return STORE / kind / "migrations"


def more_migrations(database: Database, folder: Path, name: str, content: str) -> Path:
    """Copy the migrations and add one."""
    shutil.copytree(folder_of(database.kind), folder)
    (folder / name).write_text(content)
    return folder


def applied(database: Database) -> list[str]:
    """Read which migrations a database has."""
    query = f"SELECT migration_id FROM {migration_files.MIGRATIONS_TABLE} ORDER BY migration_id"
    if database.url is not None:
        with psycopg.connect(database.url) as server:
            return [name for (name,) in server.execute(query.encode())]
    with closing(sqlite3.connect(database.path)) as file:
        return [name for (name,) in file.execute(query)]


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Make a database of each kind without any tables."""
    with a_bare_database(request.param, tmp_path) as database:
        yield database


def test_the_migrations_of_sqlite_make_the_schema(tmp_path: Path) -> None:
    def structure(path: Path) -> set[tuple[str, ...]]:
        with closing(sqlite3.connect(path)) as connection:
            rows = connection.execute("SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_master").fetchall()
        return {
            (kind, name, table, re.sub(r"\s*([(),]|\s)\s*", r"\1", re.sub(r"--.*", "", sql)))
            for kind, name, table, sql in rows
            if not table.startswith("batchgate_migration")
        }

    database = Database("sqlite", tmp_path / "migrated.db", None)
    assert start(database).communicate()[0] == ""
    with closing(sqlite3.connect(tmp_path / "schema.db")) as connection:
        connection.executescript((STORE / "sqlite" / "schema.sql").read_text())
    assert structure(database.path) == structure(tmp_path / "schema.db")


def test_the_migrations_of_postgres_make_the_schema() -> None:
    with bare_database() as migrated, bare_database() as made:
        postgres.migrate(PostgresAddress(migrated))
        with psycopg.connect(made) as connection:
            connection.execute(SchemaManager.get_schema().encode())
            connection.execute((STORE / "postgres" / "schema.sql").read_bytes())
        assert dumped(migrated, without="batchgate_migration*") == dumped(made)
        assert "CREATE TABLE public.procrastinate_jobs" in dumped(migrated)


def test_procrastinate_is_the_release_that_the_schema_was_made_with() -> None:
    assert version("procrastinate").startswith("3.10.")


def test_processes_that_start_at_once_migrate_once(database: Database) -> None:
    if database.kind == "sqlite":  # a data folder is one process's; here it is the file's own lock that makes them wait
        database.path.touch()
    processes = [start(database) for _ in range(3)]
    assert [process.communicate()[0] for process in processes] == [""] * 3
    assert [process.returncode for process in processes] == [0] * 3
    assert applied(database) == migration_files.migration_names(folder_of(database.kind))


async def test_a_process_killed_in_the_middle_of_a_migration_leaves_the_database_as_it_was(
    database: Database, tmp_path: Path
) -> None:
    async with database.store() as store:
        batch, _ = await create(store, "a")
    folder = more_migrations(database, tmp_path / "migrations", "9998.half.sql", "CREATE TABLE half (x integer);")
    (folder / "9999.killed.py").write_text(
        f'import os\nfrom yoyo import step\n\nstep("{OTHER}")\nstep(lambda _: os.kill(os.getpid(), 9))\n'
    )
    process = start(database, folder)
    assert (process.communicate()[0], process.returncode) == ("", -signal.SIGKILL)
    assert applied(database) == migration_files.migration_names(folder_of(database.kind))
    async with database.store() as store:
        assert await store.find_batch("w", "a") == batch
    (folder / "9999.killed.py").write_text(f'from yoyo import step\n\nstep("{OTHER}")\n')
    assert start(database, folder).communicate()[0] == ""
    assert applied(database)[-2:] == ["9998.half", "9999.killed"]
    with pytest.raises(StoreError, match=r"migration 9998\.half of a newer version of Batchgate"):
        async with database.store():
            pass


async def test_a_process_killed_before_the_first_migration_was_through_leaves_nothing(
    database: Database, tmp_path: Path
) -> None:
    killed = "import os\nfrom yoyo import step\n\nstep(lambda _: os.kill(os.getpid(), 9))\n"
    process = start(database, more_migrations(database, tmp_path / "migrations", "9999.killed.py", killed))
    assert (process.communicate()[0], process.returncode) == ("", -signal.SIGKILL)
    async with database.store() as store:
        await create(store, "a")
    assert applied(database) == migration_files.migration_names(folder_of(database.kind))


async def test_a_database_of_somebody_else_is_left_alone(database: Database) -> None:
    if database.url is None:
        with closing(sqlite3.connect(database.path)) as file:
            file.execute("CREATE TABLE batches (x INTEGER)")
    else:
        with psycopg.connect(database.url) as server:
            server.execute("CREATE TABLE batches (x integer)")
    with pytest.raises(StoreError, match="Batchgate's"):
        async with database.store():
            pass


async def test_a_sqlite_file_of_an_unknown_version_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="schema 99"):
        async with SqliteStore(path):
            pass


async def test_a_full_disk_stops_a_migration_which_the_next_start_makes(tmp_path: Path) -> None:
    shutil.copytree(BEFORE / "data", tmp_path / "data")
    path = tmp_path / "data" / "batchgate.db"
    with full_disk(1000), pytest.raises(StoreError):
        async with SqliteStore(path):
            pass
    async with SqliteStore(path) as store:
        assert len(await store.validating_batches()) == 1


def test_a_start_with_nothing_to_apply_does_not_import_yoyo(tmp_path: Path) -> None:
    database = Database("sqlite", tmp_path / "a.db", None)
    assert start(database).communicate()[0] == ""
    script = SCRIPTS["sqlite"] + "assert 'yoyo' not in sys.modules"
    folder = str(folder_of("sqlite"))
    subprocess.run([sys.executable, "-c", script, str(database.path), folder], check=True)


def test_each_migration_is_one_line_of_the_log_and_only_when_it_is_applied(tmp_path: Path) -> None:
    applied_lines = [f"applied migration {name}" for name in migration_files.migration_names(folder_of("sqlite"))]
    for expected in (applied_lines, []):
        with GatewayProcess(data_dir=tmp_path) as gateway:
            before, listens, _ = gateway.log.partition("listens on")
        assert listens
        assert [line.rpartition(": ")[2] for line in before.splitlines()[:-1]] == expected


async def test_an_installation_of_before_the_migrations_goes_on_with_its_data(tmp_path: Path) -> None:
    told = msgspec.json.decode((BEFORE / "answers.json").read_bytes())
    shutil.copytree(BEFORE / "data", tmp_path / "data")
    given: dict[str, Any] = {"relative_results_url": True, "default_provider": "simulator", "shutdown_timeout": 0.0}
    for latency in (3600.0, 0.0):
        accounts = {"simulator": simulator(), "slow": simulator(latency=latency)}
        clock = MovableClock(told["now"])
        async with running_app(tmp_path / "data", clock=clock, accounts=accounts, **given) as app:
            for path, answer in told["answers"].items():
                if latency or told["running"] not in answer:
                    check_same(path, answer, await text(app, path))
            if latency:
                continue
            async with asyncio.timeout(ENDS_WITHIN):
                ended = await app.ended(told["running"])
                assert ended["request_counts"]["succeeded"] == 2
                assert {line["custom_id"] for line in await app.results(told["running"])} == {"f", "g"}
                while (await newest(app))["status"] != "completed":
                    continue
    database = Database("sqlite", tmp_path / "data" / "batchgate.db", None)
    assert applied(database) == migration_files.migration_names(folder_of("sqlite"))


async def test_what_was_there_before_tenants_is_in_their_workspaces_and_counted(tmp_path: Path) -> None:
    shutil.copytree(BEFORE / "data", tmp_path / "data")
    async with SqliteStore(tmp_path / "data" / "batchgate.db") as store:
        found = await store.tenants.list_workspaces(after=None, limit=9)
        assert [workspace.name for workspace in found.workspaces] == ["default"]
        counted = await store.tenants.use_of("default", "2026-11")
    with closing(sqlite3.connect(tmp_path / "data" / "batchgate.db")) as connection:
        (inputs,) = connection.execute("SELECT sum(byte_length) FROM shards JOIN batches ON key = batch_key").fetchone()
        (results,) = connection.execute("SELECT sum(results_size) FROM batches WHERE deleted_at IS NULL").fetchone()
        query = "SELECT sum(size) FROM files WHERE blob IS NOT NULL AND deleted_at IS NULL"
        (files,) = connection.execute(query).fetchone()
    assert counted.stored_bytes == inputs + results + files
    assert counted.concurrent_batches == 2


async def text(app: RunningApp, path: str) -> str:
    async with app.client.get(app.url + path) as response:
        assert response.status == 200, await response.text()
        return await response.text()


async def newest(app: RunningApp) -> dict[str, Any]:
    """Read the batch that was waiting for its file to be validated."""
    _, page = await app.call("GET", "/openai/v1/batches")
    batch = page["data"][0]
    assert isinstance(batch, dict)
    return batch


def check_same(path: str, before: str, after: str) -> None:
    """Compare answers; a list may have more by now than it had."""
    if not path.endswith(("/batches", "/files")):
        assert after == before
        return
    items = {item["id"]: item for item in msgspec.json.decode(after)["data"]}
    for item in msgspec.json.decode(before)["data"]:
        assert items[item["id"]] == item
