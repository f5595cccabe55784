"""``batchgate transfer`` copies an installation with batches in every state to PostgreSQL and S3, and back."""

import json
import re
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from batchgate.data_lock import exclusive_folder
from tests.support.command import PROGRAM
from tests.support.gateway_process import GatewayProcess, clean_environment
from tests.support.object_server import ObjectServer, object_server
from tests.support.postgres_server import fresh_database
from tests.support.running_app import BATCHES, create_body
from tests.support.uploads import BATCH_LINE, MULTIPART, file_part, form, part

BASE = 'public_url = "http://gate"\nshutdown_timeout = 0\n'
ACCOUNTS = """
[accounts.simulator]
provider = "simulator"
simulator.latency = 0
[accounts.busy]
provider = "simulator"
simulator.latency = 0
{busy}
[accounts.slow]
provider = "simulator"
simulator.latency = {slow}
"""
ACCOUNTS_THAT_HANG = ACCOUNTS.format(busy="simulator.rate_limit_rate = 1.0\nsimulator.retry_after = 60", slow=30)
FAST_ACCOUNTS = ACCOUNTS.format(busy="", slow=0)
VARYING = re.compile(rb'"(request_id|latency)":("[^"]*"|[0-9.]+)')
"""The fields whose values differ between two responses to the same call."""


@dataclass
class Installation:
    """What an installation answered before it was stopped."""

    data_dir: Path
    ended: list[str] = field(default_factory=list)
    unfinished: dict[str, int] = field(default_factory=dict)
    """The ids of unfinished batches, each with the number of its requests."""
    responses: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    """Statuses and bodies by path."""
    ids: dict[str, list[str]] = field(default_factory=dict)
    """The ids in each list, by path."""


def fetch(
    url: str, path: str, data: bytes | None = None, method: str | None = None, **headers: str
) -> tuple[int, bytes]:
    request = urllib.request.Request(url + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, VARYING.sub(rb'"\1":0', response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, VARYING.sub(rb'"\1":0', error.read())


def call(url: str, path: str, body: object = None, method: str | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    status, answer = fetch(url, path, data, method, **{"Content-Type": "application/json"})
    assert status == 200, (path, answer)
    return json.loads(answer)


def upload(url: str, content: bytes, name: str, purpose: str) -> str:
    status, answer = fetch(
        url, "/openai/v1/files", form(part("purpose", purpose), file_part(content, name)), **MULTIPART
    )
    assert status == 200, answer
    return str(json.loads(answer)["id"])


def create(url: str, **models: str) -> str:
    requests = [request for name, model in models.items() for request in create_body(name, model=model)["requests"]]
    return str(call(url, BATCHES, {"requests": requests})["id"])


def file_batch(url: str, *lines: bytes) -> str:
    file_id = upload(url, b"".join(lines), "in.jsonl", "batch")
    body = {"input_file_id": file_id, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    return str(call(url, "/openai/v1/batches", body)["id"])


def chat_line(custom_id: str, model: str = "simulator/m", limit: int = 5) -> bytes:
    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": limit}
    line = {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}
    return json.dumps(line).encode() + b"\n"


def status_of(url: str, batch_id: str) -> dict[str, Any]:
    found = call(url, f"/api/batches/{batch_id}/progress")
    assert isinstance(found, dict)
    return found


def wait_for(url: str, batch_id: str, **wanted: object) -> dict[str, Any]:
    while True:
        found = status_of(url, batch_id)
        if all(found[name] == value for name, value in wanted.items()):
            return found
        time.sleep(0.02)


def create_everything(url: str, recorded: Installation) -> None:
    """Create files, and batches in every state but validating."""
    many = {f"r{number}": "simulator/m" for number in range(700)}
    recorded.ended = [
        create(url, **many),
        create(url, a="simulator/m"),
        file_batch(url, chat_line("a"), chat_line("b")),
    ]
    recorded.ended.append(file_batch(url, chat_line("a"), b"no line at all\n"))
    recorded.ended.append(create(url, c="busy/m", d="busy/m"))
    call(url, f"{BATCHES}/{recorded.ended[-1]}/cancel", method="POST")
    for batch_id in recorded.ended:
        while status_of(url, batch_id)["status"] not in {"ended", "failed"}:
            time.sleep(0.02)
    gone = create(url, gone="simulator/m")
    wait_for(url, gone, status="ended")
    call(url, f"{BATCHES}/{gone}", method="DELETE")
    archived = file_batch(url, chat_line("archived"))
    wait_for(url, archived, status="ended")
    call(url, f"/openai/v1/files/{call(url, f'/openai/v1/batches/{archived}')['output_file_id']}", method="DELETE")
    recorded.ended.append(archived)
    upload(url, bytes(range(256)) * 40_000, "kept.bin", "user_data")
    call(url, f"/openai/v1/files/{upload(url, BATCH_LINE, 'gone.jsonl', 'user_data')}", method="DELETE")
    half_done = create(url, one="simulator/m", two="simulator/m", three="busy/m", four="busy/m")
    wait_for(url, half_done, succeeded=2)
    canceling = create(url, five="slow/m", six="simulator/m")
    wait_for(url, canceling, succeeded=1)
    call(url, f"{BATCHES}/{canceling}/cancel", method="POST")
    assert status_of(url, canceling)["status"] == "canceling"
    recorded.unfinished = {half_done: 4, canceling: 2}


def record_responses(url: str, recorded: Installation) -> None:
    """Record the responses that must be the same after the transfer."""
    for path in (
        f"{BATCHES}?limit=100",
        "/openai/v1/batches?limit=100",
        "/openai/v1/files",
        "/v1/files?provider=openai",
    ):
        recorded.ids[path] = [found["id"] for found in call(url, path)["data"]]
    for path in paths_to_compare(recorded):
        recorded.responses[path] = fetch(url, path)
    assert sum(status == 200 for status, _ in recorded.responses.values()) > len(recorded.responses) / 2


def paths_to_compare(recorded: Installation) -> Iterator[str]:
    for batch_id in recorded.ended:
        yield from (f"{BATCHES}/{batch_id}", f"{BATCHES}/{batch_id}/results", f"/openai/v1/batches/{batch_id}")
        yield from (f"/v1/batches/{batch_id}?provider=simulator", f"/v1/batches/{batch_id}/results?provider=simulator")
    for file_id in recorded.ids["/openai/v1/files"]:
        yield from (
            f"/openai/v1/files/{file_id}",
            f"/openai/v1/files/{file_id}/content",
            f"/v1/files/{file_id}/content",
        )


def make_embedded_installation(data_dir: Path, *, killed: bool) -> Installation:
    """Create an installation, then stop its gateway, or kill the gateway while it validates a file."""
    recorded = Installation(data_dir)
    with GatewayProcess(data_dir=data_dir, settings=BASE + ACCOUNTS_THAT_HANG) as gateway:
        create_everything(gateway.url, recorded)
        record_responses(gateway.url, recorded)
        if killed:
            gateway.kill()
        else:
            assert gateway.terminate() == 0
    if killed:
        failpoints = {"BATCHGATE_FAILPOINTS": "file_validated=kill"}
        with GatewayProcess(data_dir=data_dir, settings=BASE + ACCOUNTS_THAT_HANG, environment=failpoints) as gateway:
            recorded.unfinished[file_batch(gateway.url, chat_line("v"), chat_line("w", "busy/m"))] = 2
            assert gateway.wait() == -9
        recorded.ids = {}
    return recorded


@dataclass
class TransferTarget:
    """An empty database and an empty bucket, to which an installation is copied."""

    config: Path
    database_url: str
    server: ObjectServer
    settings: str


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectServer]:
    with object_server() as server:
        yield server


@pytest.fixture
def target(server: ObjectServer, tmp_path: Path) -> Iterator[TransferTarget]:
    server.prefix = tmp_path.name
    with fresh_database() as url:
        settings = f'{BASE}database_url = "{url}"\n{server.settings}'
        config = tmp_path / "scaled.toml"
        config.write_text(settings + FAST_ACCOUNTS)
        yield TransferTarget(config, url, server, settings)


def transfer(source: Path, target: Path, *options: str) -> subprocess.CompletedProcess[str]:
    words = (*PROGRAM, "transfer", "--from", str(source), "--to", str(target), *options)
    return subprocess.run(
        words, env=clean_environment(), cwd=target.parent, capture_output=True, text=True, timeout=100, check=False
    )


def read_files(folder: Path) -> dict[str, bytes]:
    """Read the files of a data folder that must not change; a reader may create WAL files anew."""
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not name.endswith((".db-shm", "lock"))}


def check_continues(url: str, recorded: Installation) -> None:
    """Check that every response is as before, and that unfinished batches end with each custom_id once."""
    for path, before in recorded.responses.items():
        assert fetch(url, path) == before, path
    for path, ids in recorded.ids.items():
        assert [found["id"] for found in call(url, path)["data"]] == ids
    for batch_id, requests in recorded.unfinished.items():
        wait_for(url, batch_id, status="ended")
        status, lines = fetch(url, f"/api/batches/{batch_id}/results")
        ids = [json.loads(line)["custom_id"] for line in lines.splitlines()]
        assert (status, len(ids), len(set(ids))) == (200, requests, requests)
    newest = create(url, new="simulator/m")
    wait_for(url, newest, status="ended")
    assert call(url, f"{BATCHES}?limit=1")["data"][0]["id"] == newest


@pytest.mark.parametrize("killed", [False, True], ids=["stopped", "killed"])
@pytest.mark.timeout(240)
def test_an_installation_with_batches_in_every_state_is_copied_and_continues(
    target: TransferTarget, tmp_path: Path, killed: bool
) -> None:
    recorded = make_embedded_installation(tmp_path / "data", killed=killed)
    before = read_files(recorded.data_dir)
    result = transfer(recorded.data_dir, target.config)
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith("Copied and verified.\n")
    assert read_files(recorded.data_dir) == before
    repeated = transfer(recorded.data_dir, target.config)
    assert (repeated.returncode, "the target is not empty: batches has" in repeated.stderr) == (1, True)
    assert "or --verify, if an earlier copy may have been complete" in repeated.stderr
    assert transfer(recorded.data_dir, target.config, "--verify").stdout.endswith("Verified.\n")
    back = transfer(target.config, tmp_path / "back")
    assert back.returncode == 0, back.stderr
    assert transfer(recorded.data_dir, tmp_path / "back", "--verify").returncode == 0
    for secret in ("planted-secret-key", "AKIAPLANTEDKEY"):
        assert secret not in result.stdout + result.stderr
    with GatewayProcess(data_dir=tmp_path / "new", settings=target.settings + FAST_ACCOUNTS) as gateway:
        check_continues(gateway.url, recorded)
    with GatewayProcess(data_dir=tmp_path / "back", settings=BASE + FAST_ACCOUNTS) as gateway:
        check_continues(gateway.url, recorded)


@pytest.fixture
def small_installation(tmp_path: Path) -> Path:
    """Create an installation with two ended batches and a large file."""
    with GatewayProcess(data_dir=tmp_path / "data", settings=BASE + FAST_ACCOUNTS) as gateway:
        for batch_id in (create(gateway.url, a="simulator/m"), create(gateway.url, b="simulator/m")):
            wait_for(gateway.url, batch_id, status="ended")
        upload(gateway.url, bytes(range(256)) * 70_000, "large.bin", "user_data")
    return tmp_path / "data"


CHANGES_OF_THE_COPY = {
    "value": ("UPDATE batches SET succeeded = 0 WHERE key = 2", "batches: key 2 differs in succeeded"),
    "row": ("DELETE FROM files WHERE key = 1", "files: key 1 is missing"),
    "more": (
        "INSERT INTO batch_providers SELECT workspace, 'zzz', batch_key FROM batch_providers LIMIT 1",
        "batch_providers: workspace 'default', provider 'zzz', batch_key 1 is not in the source",
    ),
}


@pytest.mark.parametrize(("statement", "message"), CHANGES_OF_THE_COPY.values(), ids=CHANGES_OF_THE_COPY)
def test_a_verification_names_the_row_that_differs(
    target: TransferTarget, small_installation: Path, statement: str, message: str
) -> None:
    assert transfer(small_installation, target.config).returncode == 0
    with psycopg.connect(target.database_url, autocommit=True) as connection:
        connection.execute(statement.encode())
    result = transfer(small_installation, target.config, "--verify")
    assert (result.returncode, message in result.stderr, "DIFFERS" in result.stdout) == (1, True, True)


def test_a_verification_names_the_blob_that_differs(target: TransferTarget, small_installation: Path) -> None:
    assert transfer(small_installation, target.config).returncode == 0
    name = next(name for name in target.server.names() if name.startswith("files/"))
    content = target.server.read(name)
    target.server.write(name, content[:-1] + b"\0")
    result = transfer(small_installation, target.config, "--verify")
    assert (result.returncode, f"{name}: missing in the target, or different from the source" in result.stderr) == (
        1,
        True,
    )


def test_a_transfer_that_was_interrupted_can_be_repeated_and_skips_copied_blobs(
    target: TransferTarget, small_installation: Path
) -> None:
    with psycopg.connect(target.database_url) as connection:
        # The copy of the rows, which follows that of the blobs, waits for this lock.
        connection.execute("LOCK TABLE batch_providers IN SHARE MODE")
        words = (*PROGRAM, "transfer", "--from", str(small_installation), "--to", str(target.config))
        with subprocess.Popen(words, env=clean_environment(), stdout=subprocess.PIPE, text=True) as copying:
            assert copying.stdout is not None
            try:
                while "were there already" not in (line := copying.stdout.readline()):
                    assert line
            finally:
                copying.kill()
    result = transfer(small_installation, target.config)
    assert result.returncode == 0, result.stderr
    assert "; 5 were there already" in result.stdout


def test_a_transfer_names_a_blob_that_is_missing_in_the_source_and_keeps_nothing(
    target: TransferTarget, small_installation: Path
) -> None:
    (results,) = list((small_installation / "blobs" / "batches").glob("*/results*"))[:1]
    results.unlink()
    result = transfer(small_installation, target.config)
    assert (result.returncode, results.name in result.stderr) == (1, True)
    with psycopg.connect(target.database_url) as connection:
        assert connection.execute("SELECT count(*) FROM batches").fetchone() == (0,)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    with exclusive_folder(folder):
        yield


def test_a_transfer_refuses_installations_in_use_and_folders_without_one(
    target: TransferTarget, small_installation: Path, tmp_path: Path
) -> None:
    with locked(small_installation):
        result = transfer(small_installation, target.config)
    assert result.stderr == f"Error: data_dir: a gateway is using {small_installation}; stop it first\n"
    assert f"To    PostgreSQL, on this machine{urlsplit(target.database_url).path}, bodies in s3://" in result.stdout
    (tmp_path / "empty").mkdir()
    result = transfer(tmp_path / "empty", target.config)
    assert (result.returncode, "contains no batchgate.db" in result.stderr) == (2, True)
    assert not list((tmp_path / "empty").iterdir())
    with GatewayProcess(data_dir=tmp_path / "new", settings=target.settings + FAST_ACCOUNTS):
        result = transfer(small_installation, target.config)
        assert (result.returncode, "the database is in use by" in result.stderr) == (1, True)
    with closing(sqlite3.connect(small_installation / "batchgate.db")) as connection:
        connection.execute("DELETE FROM batchgate_migrations")
        connection.commit()
    result = transfer(small_installation, target.config)
    assert (result.returncode, "start this version of the gateway on it once" in result.stderr) == (1, True)
