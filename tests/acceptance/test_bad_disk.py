"""The installed gateway on a disk without any room, its log's included, and on data that it cannot use."""

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
    """Make a request; a body makes it a POST."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(gateway.url + path, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def submitted(gateway: GatewayProcess) -> str:
    """Submit a batch of two requests, and return when both are under way."""
    status, batch = call(gateway, BATCHES, create_body("a", "b", model="slow"))
    assert status == 200, batch
    while call(gateway, "/health")[1]["requests_in_flight"] < 2:
        pass
    return str(batch["id"])


def results_wait(gateway: GatewayProcess) -> bool:
    health = call(gateway, "/health")[1]
    return health["status"] == "degraded" and any(problem.startswith("results: ") for problem in problem_texts(health))


def ended(gateway: GatewayProcess, batch_id: str) -> dict[str, Any]:
    """Follow a batch to its end and return its progress."""
    while (progress := call(gateway, f"/api/batches/{batch_id}/progress")[1])["status"] != "ended":
        pass
    assert isinstance(progress, dict)
    return progress


def test_a_gateway_whose_disk_is_full_answers_waits_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    with GatewayProcess(data_dir=tmp_path, settings=SLOW) as gateway:
        batch_id = submitted(gateway)
        with full_disk(0, gateway.pid):
            while not results_wait(gateway):
                pass
            status, error = call(gateway, BATCHES, create_body("late"))
            assert (status, error["error"]["type"]) == (529, "overloaded_error")
            assert call(gateway, BATCHES)[1]["data"][0]["id"] == batch_id
        progress = ended(gateway, batch_id)
        assert (progress["succeeded"], progress["repeated"]) == (2, 0)
        while call(gateway, "/health")[1]["status"] != "ok":
            pass
        check_no_storage_leaks(tmp_path)
        assert gateway.terminate() == 0


def test_a_gateway_that_is_stopped_on_a_full_disk_exits_as_usual_and_asks_again_for_what_it_could_not_store(
    tmp_path: Path,
) -> None:
    with GatewayProcess(data_dir=tmp_path, settings=SLOW) as gateway:
        batch_id = submitted(gateway)
        with full_disk(0, gateway.pid):
            while not results_wait(gateway):
                pass
            assert gateway.terminate() == 0
    with GatewayProcess(data_dir=tmp_path) as gateway:
        progress = ended(gateway, batch_id)
        assert (progress["succeeded"], progress["repeated"]) == (2, 2)


def no_database(path: Path) -> None:
    path.write_text("This is a text of a good length, which no database begins with." * 100)


def of_another_version(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")


def damaged(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(files("batchgate.store.sqlite").joinpath("schema.sql").read_text())
        connection.execute("PRAGMA user_version = 2")
    content = path.read_bytes()
    path.write_bytes(content[:8192] + b"\xa5" * (len(content) - 8192))


def a_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (no_database, "not a database"),
        (of_another_version, "schema 99"),
        (damaged, "malformed"),
        (a_folder, "unable to open"),
    ],
)
def test_a_database_that_cannot_be_used_ends_the_start_with_one_line_that_names_it(
    tmp_path: Path, fault: Callable[[Path], None], reason: str
) -> None:
    database = tmp_path / "batchgate.db"
    fault(database)
    check_start_fails(serve(tmp_path), str(database), reason)


def test_a_start_on_a_full_disk_ends_with_one_line_that_says_so(tmp_path: Path) -> None:
    check_start_fails(serve(tmp_path, "ulimit -f 0"), str(tmp_path / "batchgate.db"), "could not be written")


def test_a_data_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    check_start_fails(serve(tmp_path / "file"), str(tmp_path / "file"), "Not a directory")
    (tmp_path / "data" / "lock").mkdir(parents=True)
    check_start_fails(serve(tmp_path / "data"), "data_dir", str(tmp_path / "data"), status=2)


def serve(data_dir: Path, first: str = ":") -> subprocess.CompletedProcess[str]:
    """Start the gateway, after a command of the shell, where it will not come up."""
    words = (*PROGRAM, "serve", "--port", "0", "--data-dir", str(data_dir))
    return subprocess.run(
        ["sh", "-c", f'{first}; exec "$@"', "sh", *words],
        env=clean_environment(),
        cwd=data_dir.parent,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def check_start_fails(done: subprocess.CompletedProcess[str], *parts: str, status: int = 1) -> None:
    assert (done.returncode, done.stdout) == (status, "")
    (line,) = done.stderr.splitlines()
    for part in parts:
        assert part in line
