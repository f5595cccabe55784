"""The installed gateway on a full disk, where it cannot write its log either, and on data that it cannot use."""

import json
import sqlite3
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import PROGRAM
from tests.support.full_disk import full_disk
from tests.support.gateway_process import SIMULATOR, GatewayProcess, clean_environment
from tests.support.health import problem_texts
from tests.support.running_app import BATCHES, create_body
from tests.support.storage_leaks import check_no_storage_leaks

SLOW = f"shutdown_timeout = 0.5\n{SIMULATOR}simulator.latency_by_model = {{ slow = 0.5 }}\n"


def call(gateway: GatewayProcess, path: str, body: object = None) -> tuple[int, Any]:
    """Call the gateway: with POST if there is a body, otherwise with GET."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(gateway.url + path, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def submit_two_requests(gateway: GatewayProcess) -> str:
    """Submit a batch of two requests and return its id when both are in flight."""
    status, batch = call(gateway, BATCHES, create_body("a", "b", model="slow"))
    assert status == 200, batch
    while call(gateway, "/health")[1]["requests_in_flight"] < 2:
        pass
    return str(batch["id"])


def results_cannot_be_stored(gateway: GatewayProcess) -> bool:
    health = call(gateway, "/health")[1]
    return health["status"] == "degraded" and any(problem.startswith("results: ") for problem in problem_texts(health))


def wait_until_ended(gateway: GatewayProcess, batch_id: str) -> dict[str, Any]:
    """Poll a batch until it has ended and return its progress."""
    while (progress := call(gateway, f"/api/batches/{batch_id}/progress")[1])["status"] != "ended":
        pass
    assert isinstance(progress, dict)
    return progress


def test_a_gateway_on_a_full_disk_keeps_answering_and_resumes_when_there_is_space(tmp_path: Path) -> None:
    with GatewayProcess(data_dir=tmp_path, settings=SLOW) as gateway:
        batch_id = submit_two_requests(gateway)
        with full_disk(0, gateway.pid):
            while not results_cannot_be_stored(gateway):
                pass
            status, error = call(gateway, BATCHES, create_body("late"))
            assert (status, error["error"]["type"]) == (529, "overloaded_error")
            assert call(gateway, BATCHES)[1]["data"][0]["id"] == batch_id
        progress = wait_until_ended(gateway, batch_id)
        assert (progress["succeeded"], progress["repeated"]) == (2, 0)
        while call(gateway, "/health")[1]["status"] != "ok":
            pass
        check_no_storage_leaks(tmp_path)
        assert gateway.terminate() == 0


def test_a_gateway_stopped_on_a_full_disk_exits_normally_and_later_resends_the_requests_it_could_not_store(
    tmp_path: Path,
) -> None:
    with GatewayProcess(data_dir=tmp_path, settings=SLOW) as gateway:
        batch_id = submit_two_requests(gateway)
        with full_disk(0, gateway.pid):
            while not results_cannot_be_stored(gateway):
                pass
            assert gateway.terminate() == 0
    with GatewayProcess(data_dir=tmp_path) as gateway:
        progress = wait_until_ended(gateway, batch_id)
        assert (progress["succeeded"], progress["repeated"]) == (2, 2)


def write_text_instead_of_a_database(path: Path) -> None:
    path.write_text("No database file begins with this text, which is long enough to be one." * 100)


def set_an_unknown_schema_version(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")


def write_a_damaged_database(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(files("batchgate.store.sqlite").joinpath("schema.sql").read_text())
        connection.execute("PRAGMA user_version = 2")
    content = path.read_bytes()
    path.write_bytes(content[:8192] + b"\xa5" * (len(content) - 8192))


def make_a_folder_instead_of_a_database(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("make_unusable", "reason"),
    [
        (write_text_instead_of_a_database, "not a database"),
        (set_an_unknown_schema_version, "schema 99"),
        (write_a_damaged_database, "malformed"),
        (make_a_folder_instead_of_a_database, "unable to open"),
    ],
)
def test_a_start_with_an_unusable_database_fails_with_one_line_that_names_the_database(
    tmp_path: Path, make_unusable: Callable[[Path], None], reason: str
) -> None:
    database = tmp_path / "batchgate.db"
    make_unusable(database)
    check_start_fails(start_that_fails(tmp_path), str(database), reason)


def test_a_start_on_a_full_disk_fails_with_one_line_that_names_the_cause(tmp_path: Path) -> None:
    check_start_fails(start_that_fails(tmp_path, "ulimit -f 0"), str(tmp_path / "batchgate.db"), "could not be written")


def test_a_start_with_an_unusable_data_folder_names_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    check_start_fails(start_that_fails(tmp_path / "file"), str(tmp_path / "file"), "Not a directory")
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data" / "lock").mkdir()
    check_start_fails(start_that_fails(tmp_path / "data"), "data_dir", str(tmp_path / "data"), status=2)


def start_that_fails(data_dir: Path, shell_command: str = ":") -> subprocess.CompletedProcess[str]:
    """Run a shell command, then start the gateway, whose start is expected to fail."""
    words = (*PROGRAM, "serve", "--port", "0", "--data-dir", str(data_dir))
    return subprocess.run(
        ["sh", "-c", f'{shell_command}; exec "$@"', "sh", *words],
        env=clean_environment(),
        cwd=data_dir.parent,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def check_start_fails(result: subprocess.CompletedProcess[str], *parts: str, status: int = 1) -> None:
    assert (result.returncode, result.stdout) == (status, "")
    (line,) = result.stderr.splitlines()
    for part in parts:
        assert part in line
