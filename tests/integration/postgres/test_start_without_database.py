"""Gateways and workers that start while PostgreSQL is away wait for it, but not for what waiting does not mend."""

import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import psycopg
import pytest

from tests.support.command import batchgate, running_command
from tests.support.gateway_process import SIMULATOR
from tests.support.postgres_server import PostgresServer, dedicated_server

PASSWORD = "password-that-nobody-may-see"
COMMANDS = [("serve",), ("serve", "--no-worker"), ("worker",)]


@pytest.fixture
def stopped_server() -> Iterator[PostgresServer]:
    """Provide a server with a database that does not run yet."""
    folder = Path(tempfile.mkdtemp(prefix="bg-pg-"))
    server = PostgresServer(folder)
    try:
        server.create_data()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def server_with_passwords() -> Iterator[PostgresServer]:
    """Run a server on which the role ``tenant`` needs a password."""
    with dedicated_server() as server:
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute("CREATE ROLE tenant LOGIN PASSWORD 'right'")
            rules = "local all postgres trust\nlocal all tenant scram-sha-256\n"
            (server.folder / "data" / "pg_hba.conf").write_text(rules)
            connection.execute("SELECT pg_reload_conf()")
        yield server


def write_settings(folder: Path, url: str, **others: object) -> None:
    lines = [f"{name} = {value}" for name, value in others.items()]
    (folder / "batchgate.toml").write_text("\n".join([f'database_url = "{url}"', *lines, SIMULATOR]))


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """Read the log of a process until it has a text."""
    assert process.stderr is not None
    log = ""
    while text not in log:
        line = process.stderr.readline()
        assert line, log
        log += line
    return log


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_start_waits_for_the_database_and_does_not_listen_meanwhile(
    tmp_path: Path, stopped_server: PostgresServer, command: tuple[str, ...]
) -> None:
    write_settings(tmp_path, stopped_server.url())
    port = free_port()
    with running_command(tmp_path, *command, "--port", str(port), "--log-format", "json") as process:
        log = read_until(process, '"action":"database_awaited"')
        assert "of at most 60 seconds" in log
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        stopped_server.start()
        assert process.stdout is not None
        assert f"http://127.0.0.1:{port}" in process.stdout.readline()
        with urlopen(f"http://127.0.0.1:{port}/health") as health:
            assert health.status == 200
        process.terminate()
        assert '"action":"database_reached"' in process.communicate(timeout=60)[1]
        assert process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_start_that_waits_for_the_database_stops_at_a_signal(
    tmp_path: Path, stopped_server: PostgresServer, number: signal.Signals
) -> None:
    write_settings(tmp_path, stopped_server.url(), database_wait_timeout=3600)
    with running_command(tmp_path, "worker") as process:
        read_until(process, "waiting for the database")
        process.send_signal(number)
        assert "stopped while the database was awaited" in process.communicate(timeout=10)[1]
        assert process.returncode == 0


@pytest.mark.parametrize("seconds", [0, 1])
def test_a_start_waits_no_longer_than_the_setting_says(
    tmp_path: Path, stopped_server: PostgresServer, seconds: int
) -> None:
    write_settings(tmp_path, stopped_server.url(), database_wait_timeout=seconds)
    done = batchgate(tmp_path, "worker")
    assert done.returncode == 1
    assert ("waiting for the database" in done.stderr) == (seconds > 0)
    duration = f" for {seconds} seconds" if seconds else ""
    assert f"Error: the database cannot be reached{duration}: " in done.stderr
    assert "No such file or directory" in done.stderr


@pytest.mark.parametrize(
    ("user", "database", "reason"),
    [
        pytest.param(f"tenant:{PASSWORD}", "postgres", "password authentication failed", id="wrong password"),
        pytest.param("tenant", "postgres", "no password supplied", id="no password"),
        pytest.param("postgres", "nowhere", 'database "nowhere" does not exist', id="unknown database"),
        pytest.param("nobody", "postgres", "no pg_hba.conf entry", id="unknown role"),
    ],
)
def test_a_start_does_not_wait_for_what_waiting_does_not_mend(
    tmp_path: Path, server_with_passwords: PostgresServer, user: str, database: str, reason: str
) -> None:
    url = server_with_passwords.url(database).replace("postgres@", f"{user}@", 1)
    write_settings(tmp_path, url, database_wait_timeout=3600)
    done = batchgate(tmp_path, "worker")
    assert done.returncode == 1
    assert reason in done.stderr
    assert PASSWORD not in done.stderr
    assert "waiting for the database" not in done.stderr


def test_a_start_does_not_wait_for_an_invalid_port(tmp_path: Path) -> None:
    write_settings(tmp_path, "postgresql://postgres@127.0.0.1:99999/postgres", database_wait_timeout=3600)
    done = batchgate(tmp_path, "serve")
    assert done.returncode == 1
    assert "invalid port number" in done.stderr


def test_a_transfer_does_not_wait_for_the_database(tmp_path: Path, stopped_server: PostgresServer) -> None:
    write_settings(tmp_path, stopped_server.url(), database_wait_timeout=3600)
    done = batchgate(tmp_path, "transfer", "--from", "batchgate.toml", "--to", "copy")
    assert done.returncode == 1
    assert "No such file or directory" in done.stderr
    assert "waiting for the database" not in done.stderr
