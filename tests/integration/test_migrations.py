"""The migrations of both databases create the schema exactly once, survive killed processes and keep existing data."""

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
from typing import Any, Final

import msgspec
import psycopg
import pytest
from procrastinate.schema import SchemaManager

from batchgate.engine.model.errors import StoreError
from batchgate.engine.model.price import Spend
from batchgate.engine.model.usage import Usage
from batchgate.store import migration_files
from batchgate.store.postgres import PostgresAddress
from batchgate.store.postgres import migrate as postgres
from batchgate.store.sqlite import SqliteStore
from tests.support.databases import DATABASES, Database, DatabaseKind, new_bare_database
from tests.support.full_disk import full_disk
from tests.support.gateway_process import GatewayProcess
from tests.support.postgres_server import bare_database, dump_schema
from tests.support.running_app import MovableClock, RunningApp, running_app, simulator
from tests.support.stored_rows import create

STORE = Path(migration_files.__file__).parent
BEFORE_MIGRATIONS = Path(__file__).parents[1] / "fixtures" / "before_migrations"
TIMEOUT = 120.0  # seconds; only a state that never comes should exceed it
CREATE_OTHER_TABLE = "CREATE TABLE other (x integer)"

_ARGUMENTS = "import sys; from pathlib import Path; target, folder = sys.argv[1], Path(sys.argv[2])\n"
SCRIPTS: dict[DatabaseKind, str] = {
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
"""The script of a process that migrates a database at its start."""


def start_migration(database: Database, folder: Path | None = None) -> subprocess.Popen[str]:
    """Start a process that applies the migrations of a folder, by default the real ones."""
    target = database.url or str(database.path)
    folder = folder or migrations_folder(database.kind)
    command = [sys.executable, "-W", "error", "-c", SCRIPTS[database.kind], target, str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def migrations_folder(kind: DatabaseKind) -> Path:
    return STORE / kind / "migrations"


def more_migrations(database: Database, folder: Path, name: str, content: str) -> Path:
    """Copy the migrations into a folder and add one."""
    shutil.copytree(migrations_folder(database.kind), folder)
    (folder / name).write_text(content)
    return folder


def applied_migrations(database: Database) -> list[str]:
    """Return the ids of the migrations that a database has."""
    query = f"SELECT migration_id FROM {migration_files.MIGRATIONS_TABLE} ORDER BY migration_id"
    if database.url is not None:
        with psycopg.connect(database.url) as server:
            return [name for (name,) in server.execute(query.encode())]
    with closing(sqlite3.connect(database.path)) as file:
        return [name for (name,) in file.execute(query)]


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Make a database of each kind without any tables."""
    with new_bare_database(request.param, tmp_path) as database:
        yield database


def test_the_sqlite_migrations_produce_the_schema(tmp_path: Path) -> None:
    def structure(path: Path) -> set[tuple[str, ...]]:
        with closing(sqlite3.connect(path)) as connection:
            rows = connection.execute("SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_master").fetchall()
        return {
            (kind, name, table, re.sub(r"\s*([(),]|\s)\s*", r"\1", re.sub(r"--.*", "", sql)))
            for kind, name, table, sql in rows
            if not table.startswith("batchgate_migration")
        }

    database = Database("sqlite", tmp_path / "migrated.db", None)
    assert start_migration(database).communicate()[0] == ""
    with closing(sqlite3.connect(tmp_path / "schema.db")) as connection:
        connection.executescript((STORE / "sqlite" / "schema.sql").read_text())
    assert structure(database.path) == structure(tmp_path / "schema.db")


def test_the_postgres_migrations_produce_the_schema() -> None:
    with bare_database() as migrated, bare_database() as made:
        postgres.migrate(PostgresAddress(migrated))
        with psycopg.connect(made) as connection:
            connection.execute(SchemaManager.get_schema().encode())
            connection.execute((STORE / "postgres" / "schema.sql").read_bytes())
        assert dump_schema(migrated, without="batchgate_migration*") == dump_schema(made)
        assert "CREATE TABLE public.procrastinate_jobs" in dump_schema(migrated)


def test_the_installed_procrastinate_is_the_release_of_the_schema() -> None:
    assert version("procrastinate").startswith("3.10.")


def test_processes_that_start_at_the_same_time_migrate_once(database: Database) -> None:
    # Only one process can use a data folder; here the lock of the database file makes the others wait.
    if database.kind == "sqlite":
        database.path.touch()
    processes = [start_migration(database) for _ in range(3)]
    assert [process.communicate()[0] for process in processes] == [""] * 3
    assert [process.returncode for process in processes] == [0] * 3
    assert applied_migrations(database) == migration_files.migration_names(migrations_folder(database.kind))


async def test_a_process_killed_during_a_migration_leaves_the_database_unchanged(
    database: Database, tmp_path: Path
) -> None:
    async with database.store() as store:
        batch, _ = await create(store, "a")
    folder = more_migrations(database, tmp_path / "migrations", "9998.half.sql", "CREATE TABLE half (x integer);")
    (folder / "9999.killed.py").write_text(
        f'import os\nfrom yoyo import step\n\nstep("{CREATE_OTHER_TABLE}")\nstep(lambda _: os.kill(os.getpid(), 9))\n'
    )
    process = start_migration(database, folder)
    assert (process.communicate()[0], process.returncode) == ("", -signal.SIGKILL)
    assert applied_migrations(database) == migration_files.migration_names(migrations_folder(database.kind))
    async with database.store() as store:
        assert await store.find_batch("w", "a") == batch
    (folder / "9999.killed.py").write_text(f'from yoyo import step\n\nstep("{CREATE_OTHER_TABLE}")\n')
    assert start_migration(database, folder).communicate()[0] == ""
    assert applied_migrations(database)[-2:] == ["9998.half", "9999.killed"]
    with pytest.raises(StoreError, match=r"migration 9998\.half of a newer version of Batchgate"):
        async with database.store():
            pass


async def test_a_process_killed_during_the_first_migrations_leaves_nothing_behind(
    database: Database, tmp_path: Path
) -> None:
    killed = "import os\nfrom yoyo import step\n\nstep(lambda _: os.kill(os.getpid(), 9))\n"
    process = start_migration(database, more_migrations(database, tmp_path / "migrations", "9999.killed.py", killed))
    assert (process.communicate()[0], process.returncode) == ("", -signal.SIGKILL)
    async with database.store() as store:
        await create(store, "a")
    assert applied_migrations(database) == migration_files.migration_names(migrations_folder(database.kind))


async def test_a_database_of_another_application_is_refused(database: Database) -> None:
    if database.url is None:
        with closing(sqlite3.connect(database.path)) as file:
            file.execute("CREATE TABLE batches (x INTEGER)")
    else:
        with psycopg.connect(database.url) as server:
            server.execute("CREATE TABLE batches (x integer)")
    with pytest.raises(StoreError, match="Batchgate's"):
        async with database.store():
            pass


async def test_a_sqlite_file_with_an_unknown_schema_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="schema 99"):
        async with SqliteStore(path):
            pass


async def test_the_next_start_applies_a_migration_that_a_full_disk_stopped(tmp_path: Path) -> None:
    shutil.copytree(BEFORE_MIGRATIONS / "data", tmp_path / "data")
    path = tmp_path / "data" / "batchgate.db"
    with full_disk(1000), pytest.raises(StoreError):
        async with SqliteStore(path):
            pass
    async with SqliteStore(path) as store:
        assert len(await store.validating_batches()) == 1


def test_a_start_with_nothing_to_apply_does_not_import_yoyo(tmp_path: Path) -> None:
    database = Database("sqlite", tmp_path / "a.db", None)
    assert start_migration(database).communicate()[0] == ""
    script = SCRIPTS["sqlite"] + "assert 'yoyo' not in sys.modules"
    folder = str(migrations_folder("sqlite"))
    subprocess.run([sys.executable, "-c", script, str(database.path), folder], check=True)


def test_a_start_logs_in_one_line_which_migrations_it_applied(tmp_path: Path) -> None:
    names = migration_files.migration_names(migrations_folder("sqlite"))
    applied = f"applied {len(names)} migrations to the database, the last one is {names[-1]}"
    for expected in ([applied], []):
        with GatewayProcess(data_dir=tmp_path) as gateway:
            before, listens, _ = gateway.log.partition("listens on")
        assert listens
        assert [line.rpartition(": ")[2] for line in before.splitlines()[:-1]] == expected


async def test_an_installation_from_before_the_migrations_keeps_its_data(tmp_path: Path) -> None:
    recorded = msgspec.json.decode((BEFORE_MIGRATIONS / "answers.json").read_bytes())
    shutil.copytree(BEFORE_MIGRATIONS / "data", tmp_path / "data")
    settings: dict[str, Any] = {"relative_results_url": True, "default_provider": "simulator", "shutdown_timeout": 0.0}
    for latency in (3600.0, 0.0):
        accounts = {"simulator": simulator(), "slow": simulator(latency=latency)}
        clock = MovableClock(recorded["now"])
        async with running_app(tmp_path / "data", clock=clock, accounts=accounts, **settings) as app:
            for path, answer in recorded["answers"].items():
                if latency or recorded["running"] not in answer:
                    check_same_response(path, answer, await download_text(app, path))
            if latency:
                continue
            async with asyncio.timeout(TIMEOUT):
                ended = await app.ended(recorded["running"])
                assert ended["request_counts"]["succeeded"] == 2
                assert {line["custom_id"] for line in await app.results(recorded["running"])} == {"f", "g"}
                while (await newest_batch(app))["status"] != "completed":
                    continue
    database = Database("sqlite", tmp_path / "data" / "batchgate.db", None)
    assert applied_migrations(database) == migration_files.migration_names(migrations_folder("sqlite"))


async def test_data_from_before_workspaces_is_counted_in_a_workspace(tmp_path: Path) -> None:
    shutil.copytree(BEFORE_MIGRATIONS / "data", tmp_path / "data")
    recorded = msgspec.json.decode((BEFORE_MIGRATIONS / "answers.json").read_bytes())
    async with SqliteStore(tmp_path / "data" / "batchgate.db") as store:
        found = await store.tenants.list_workspaces(after=None, limit=9)
        assert [workspace.name for workspace in found.workspaces] == ["default"]
        counted = await store.tenants.find_usage("default", recorded["now"])
    with closing(sqlite3.connect(tmp_path / "data" / "batchgate.db")) as connection:
        (inputs,) = connection.execute("SELECT sum(byte_length) FROM shards JOIN batches ON key = batch_key").fetchone()
        (results,) = connection.execute("SELECT sum(results_size) FROM batches WHERE deleted_at IS NULL").fetchone()
        query = "SELECT sum(max(size, 4096)) FROM files WHERE blob IS NOT NULL AND deleted_at IS NULL"
        (files,) = connection.execute(query).fetchone()
    assert counted.stored_bytes == inputs + results + files
    assert counted.concurrent_batches == 2


FILES_BEFORE_QUOTAS: Final = """
INSERT INTO workspaces (name, created_at) VALUES ('w', 1), ('v', 1);
INSERT INTO files (id, workspace, provider, purpose, filename, size, sha256, created_at, expires_at, deleted_at, blob,
    batch_id, part)
VALUES ('small', 'w', 'p', 'batch', 'a', 1, '', 1, NULL, NULL, 'small/content', NULL, NULL),
    ('large', 'w', 'p', 'batch', 'a', 10000, '', 1, NULL, NULL, 'large/content', NULL, NULL),
    ('expires', 'w', 'p', 'batch', 'a', 4095, '', 1, 50, NULL, 'expires/content', NULL, NULL),
    ('deleted', 'w', 'p', 'batch', 'a', 7, '', 1, NULL, 2, 'deleted/content', NULL, NULL),
    ('view', 'w', 'p', 'batch_output', 'a', 3, '', 1, NULL, NULL, NULL, 'b', 'output'),
    ('other', 'v', 'p', 'batch', 'a', 2, '', 1, NULL, NULL, 'other/content', NULL, NULL);
INSERT INTO workspace_bytes (workspace, stored_bytes) VALUES ('w', 14096), ('v', 2);
"""
"""Files as they were stored and counted when each counted for its size, and no file was counted."""


async def test_files_from_before_their_quotas_are_counted_and_give_back_what_they_count(
    database: Database, tmp_path: Path
) -> None:
    migrate_until(database, "0004", tmp_path)
    run_statements(database, FILES_BEFORE_QUOTAS)
    async with database.store() as store:
        usages = [await store.tenants.find_usage(name, 10) for name in ("w", "v")]
        assert [(usage.files, usage.stored_bytes) for usage in usages] == [(3, 10_000 + 2 * 4096), (1, 4096)]
        await store.tenants.update_quotas("w", {"files": 3, "creates_per_minute": 1}, 2000)
        for file_id in ("small", "large", "view", "deleted"):
            await store.delete_file("w", file_id, 20)
        usage = await store.tenants.find_usage("w", 20)
        assert (usage.files, usage.stored_bytes) == (1, 4096)
        await store.expire_files(60)
        usage = await store.tenants.find_usage("w", 60)
        assert (usage.files, usage.stored_bytes, usage.creates_per_minute) == (0, 0, 0)


BATCH_BEFORE_LANE_COSTS: Final = """
INSERT INTO batches (id, workspace, dialect, terms, provider, providers, headers, status, total, open_shards,
    created_at, expires_at, in_progress_at, caller, fingerprint, input_blob, succeeded, input_tokens, cost)
VALUES ('a', 'w', 'openai', '{{"kind":"chat_completions"}}', 'p', '[]', '{{}}', 'in_progress', 2, 1,
    1, 9, 1, 'c', '', 'a/input', 1, 10, 5);
INSERT INTO native_jobs (batch_key, token, account, model, kind, seqs, first_seq, last_seq, requests, tokens, state,
    epoch, credential, created_at, proven, refusals, answered)
SELECT key, 't', 'p', 'm', 'chat_completions', '', 0, 1, 2, 3, 'done', 1, 'c', 1, {true}, 0, 1 FROM batches;
"""
"""A batch whose cost was stored without its lanes, and its job."""

FILE_BEFORE_OUTPUTS = """
INSERT INTO files (id, workspace, provider, purpose, filename, size, sha256, created_at, blob)
VALUES ('f', 'w', 'openai', 'batch', 'f.jsonl', 3, '', 1, 'f/blob');
"""
"""A file that was uploaded before requests could make files."""


async def test_the_cost_of_a_batch_from_before_the_costs_of_lanes_was_paid_for_direct_calls(
    database: Database, tmp_path: Path
) -> None:
    migrate_until(database, "0011", tmp_path)
    run_statements(database, BATCH_BEFORE_LANE_COSTS.format(true="1" if database.url is None else "true"))
    async with database.store() as store:
        batch = await store.find_batch("w", "a")
        assert batch is not None
        assert (batch.spend, batch.paid_twice) == (Spend(direct=5), 0)
        assert batch.usage == Usage(input_tokens=10)
        assert [(job.token, job.paid_twice) for job in await store.jobs_of(batch.key)] == [("t", None)]


async def test_a_running_batch_from_before_lanes_were_kept_runs_directly_unless_it_has_jobs(
    database: Database, tmp_path: Path
) -> None:
    migrate_until(database, "0011", tmp_path)
    true = "1" if database.url is None else "true"
    planned = BATCH_BEFORE_LANE_COSTS.format(true=true)
    unplanned = planned[: planned.index("INSERT INTO native_jobs")].replace("'a'", "'b'").replace("a/input", "b/input")
    run_statements(database, planned + unplanned)
    async with database.store() as store:
        lanes = [batch.options.lane for name in "ab" if (batch := await store.find_batch("w", name))]
        assert lanes == [msgspec.UNSET, "direct"]


async def test_files_from_before_outputs_belong_to_no_batch(database: Database, tmp_path: Path) -> None:
    migrate_until(database, "0015", tmp_path)
    run_statements(database, FILE_BEFORE_OUTPUTS)
    async with database.store() as store:
        file = await store.find_file("w", "f", 0)
        assert file is not None
        assert (file.blob, file.output_of) == ("f/blob", None)
        assert await store.stopped_tasks(1, 10) == []


def migrate_until(database: Database, name: str, tmp_path: Path) -> None:
    """Apply the migrations whose names come before this one."""
    before = tmp_path / "before"
    shutil.copytree(migrations_folder(database.kind), before)
    for migration in before.iterdir():
        if migration.name >= name:
            migration.unlink() if migration.is_file() else shutil.rmtree(migration)
    assert start_migration(database, before).communicate()[0] == ""


def run_statements(database: Database, statements: str) -> None:
    if database.url is None:
        with closing(sqlite3.connect(database.path)) as file:
            file.executescript(statements.replace("''", "x''"))
    else:
        with psycopg.connect(database.url) as server:
            server.execute(statements.encode())


async def download_text(app: RunningApp, path: str) -> str:
    async with app.client.get(app.url + path) as response:
        assert response.status == 200, await response.text()
        return await response.text()


async def newest_batch(app: RunningApp) -> dict[str, Any]:
    """Return the batch whose file was not yet validated."""
    _, page = await app.call("GET", "/openai/v1/batches")
    batch = page["data"][0]
    assert isinstance(batch, dict)
    return batch


def check_same_response(path: str, before: str, after: str) -> None:
    """Compare responses; a list may contain more objects than before."""
    if '"status":"cancelled"' in before and not path.endswith("/batches"):
        assert msgspec.json.decode(after) == with_counts_of_now(msgspec.json.decode(before))
        return
    if not path.endswith(("/batches", "/files")):
        assert after == before
        return
    items = {item["id"]: item for item in msgspec.json.decode(after)["data"]}
    for item in msgspec.json.decode(before)["data"]:
        assert items[item["id"]] == with_counts_of_now(item)


def with_counts_of_now(item: dict[str, Any]) -> dict[str, Any]:
    """Return a recorded object with today's counts: a cancelled OpenAI batch did not count what was not sent."""
    if item.get("status") != "cancelled":
        return item
    counts = item["request_counts"]
    return item | {"request_counts": counts | {"failed": counts["total"] - counts["completed"]}}
