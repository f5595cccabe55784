"""An embedded installation with batches in every state moves to PostgreSQL and S3, and back: nothing is lost."""

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

PLAIN = 'public_url = "http://gate"\nshutdown_timeout = 0\n'
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
STUCK = ACCOUNTS.format(busy="simulator.rate_limit_rate = 1.0\nsimulator.retry_after = 60", slow=30)
WELL = ACCOUNTS.format(busy="", slow=0)
CHANGES = re.compile(rb'"(request_id|latency)":("[^"]*"|[0-9.]+)')
"""What is of one answer and not of what is asked for."""


@dataclass
class Installation:
    """What was seen of an installation before it was stopped."""

    data_dir: Path
    ended: list[str] = field(default_factory=list)
    unfinished: dict[str, int] = field(default_factory=dict)
    """The batches that go on, with the number of their requests."""
    seen: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    """Answers by their paths."""
    ids: dict[str, list[str]] = field(default_factory=dict)
    """The ids of lists by their paths."""


def fetch(
    url: str, path: str, data: bytes | None = None, method: str | None = None, **headers: str
) -> tuple[int, bytes]:
    request = urllib.request.Request(url + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as response:
            return response.status, CHANGES.sub(rb'"\1":0', response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, CHANGES.sub(rb'"\1":0', error.read())


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


def until(url: str, batch_id: str, **wanted: object) -> dict[str, Any]:
    while True:
        found = status_of(url, batch_id)
        if all(found[name] == value for name, value in wanted.items()):
            return found
        time.sleep(0.02)


def fill(url: str, made: Installation) -> None:
    """Make batches in every state but validating, and files."""
    many = {f"r{number}": "simulator/m" for number in range(700)}
    made.ended = [create(url, **many), create(url, a="simulator/m"), file_batch(url, chat_line("a"), chat_line("b"))]
    made.ended.append(file_batch(url, chat_line("a"), b"no line at all\n"))
    made.ended.append(create(url, c="busy/m", d="busy/m"))
    call(url, f"{BATCHES}/{made.ended[-1]}/cancel", method="POST")
    for batch_id in made.ended:
        while status_of(url, batch_id)["status"] not in {"ended", "failed"}:
            time.sleep(0.02)
    gone = create(url, gone="simulator/m")
    until(url, gone, status="ended")
    call(url, f"{BATCHES}/{gone}", method="DELETE")
    archived = file_batch(url, chat_line("archived"))
    until(url, archived, status="ended")
    call(url, f"/openai/v1/files/{call(url, f'/openai/v1/batches/{archived}')['output_file_id']}", method="DELETE")
    made.ended.append(archived)
    upload(url, bytes(range(256)) * 40_000, "kept.bin", "user_data")
    call(url, f"/openai/v1/files/{upload(url, BATCH_LINE, 'gone.jsonl', 'user_data')}", method="DELETE")
    some = create(url, one="simulator/m", two="simulator/m", three="busy/m", four="busy/m")
    until(url, some, succeeded=2)
    canceling = create(url, five="slow/m", six="simulator/m")
    until(url, canceling, succeeded=1)
    call(url, f"{BATCHES}/{canceling}/cancel", method="POST")
    assert status_of(url, canceling)["status"] == "canceling"
    made.unfinished = {some: 4, canceling: 2}


def look(url: str, made: Installation) -> None:
    """See all that is to be the same afterwards."""
    for path in (
        f"{BATCHES}?limit=100",
        "/openai/v1/batches?limit=100",
        "/openai/v1/files",
        "/v1/files?provider=openai",
    ):
        made.ids[path] = [found["id"] for found in call(url, path)["data"]]
    for path in paths(made):
        made.seen[path] = fetch(url, path)
    assert sum(status == 200 for status, _ in made.seen.values()) > len(made.seen) / 2


def paths(made: Installation) -> Iterator[str]:
    for batch_id in made.ended:
        yield from (f"{BATCHES}/{batch_id}", f"{BATCHES}/{batch_id}/results", f"/openai/v1/batches/{batch_id}")
        yield from (f"/v1/batches/{batch_id}?provider=simulator", f"/v1/batches/{batch_id}/results?provider=simulator")
    for file_id in made.ids["/openai/v1/files"]:
        yield from (
            f"/openai/v1/files/{file_id}",
            f"/openai/v1/files/{file_id}/content",
            f"/v1/files/{file_id}/content",
        )


def embedded(data_dir: Path, *, killed: bool) -> Installation:
    """Make an installation, and stop its gateway, or kill it while it validates a file."""
    made = Installation(data_dir)
    with GatewayProcess(data_dir=data_dir, settings=PLAIN + STUCK) as gateway:
        fill(gateway.url, made)
        look(gateway.url, made)
        if killed:
            gateway.kill()
        else:
            assert gateway.terminate() == 0
    if killed:
        points = {"BATCHGATE_FAILPOINTS": "file_validated=kill"}
        with GatewayProcess(data_dir=data_dir, settings=PLAIN + STUCK, environment=points) as gateway:
            made.unfinished[file_batch(gateway.url, chat_line("v"), chat_line("w", "busy/m"))] = 2
            assert gateway.wait() == -9
        made.ids = {}
    return made


@dataclass
class Scaled:
    """What there is to move to: an empty database and an empty bucket."""

    config: Path
    database_url: str
    server: ObjectServer
    settings: str


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectServer]:
    with object_server() as server:
        yield server


@pytest.fixture
def scaled(server: ObjectServer, tmp_path: Path) -> Iterator[Scaled]:
    server.prefix = tmp_path.name
    with fresh_database() as url:
        settings = f'{PLAIN}database_url = "{url}"\n{server.settings}'
        config = tmp_path / "scaled.toml"
        config.write_text(settings + WELL)
        yield Scaled(config, url, server, settings)


def migrate(source: Path, target: Path, *options: str) -> subprocess.CompletedProcess[str]:
    words = (*PROGRAM, "transfer", "--from", str(source), "--to", str(target), *options)
    return subprocess.run(
        words, env=clean_environment(), cwd=target.parent, capture_output=True, text=True, timeout=100, check=False
    )


def content_of(folder: Path) -> dict[str, bytes]:
    """Read all that may not change in a data folder: WAL files may be made anew by whoever reads."""
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not name.endswith((".db-shm", "lock"))}


def check_goes_on(url: str, made: Installation) -> None:
    """See that everything reads as before, and that what was unfinished ends with each custom_id once."""
    for path, before in made.seen.items():
        assert fetch(url, path) == before, path
    for path, ids in made.ids.items():
        assert [found["id"] for found in call(url, path)["data"]] == ids
    for batch_id, requests in made.unfinished.items():
        until(url, batch_id, status="ended")
        status, lines = fetch(url, f"/api/batches/{batch_id}/results")
        ids = [json.loads(line)["custom_id"] for line in lines.splitlines()]
        assert (status, len(ids), len(set(ids))) == (200, requests, requests)
    newest = create(url, new="simulator/m")
    until(url, newest, status="ended")
    assert call(url, f"{BATCHES}?limit=1")["data"][0]["id"] == newest


@pytest.mark.parametrize("killed", [False, True], ids=["stopped", "killed"])
@pytest.mark.timeout(240)
def test_an_installation_with_batches_in_every_state_moves_and_goes_on(
    scaled: Scaled, tmp_path: Path, killed: bool
) -> None:
    made = embedded(tmp_path / "data", killed=killed)
    before = content_of(made.data_dir)
    done = migrate(made.data_dir, scaled.config)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("Copied and verified.\n")
    assert content_of(made.data_dir) == before
    again = migrate(made.data_dir, scaled.config)
    assert (again.returncode, "the target is not empty: batches has" in again.stderr) == (1, True)
    assert migrate(made.data_dir, scaled.config, "--verify").stdout.endswith("Verified.\n")
    back = migrate(scaled.config, tmp_path / "back")
    assert back.returncode == 0, back.stderr
    assert migrate(made.data_dir, tmp_path / "back", "--verify").returncode == 0
    for secret in ("planted-secret-key", "AKIAPLANTEDKEY"):
        assert secret not in done.stdout + done.stderr
    with GatewayProcess(data_dir=tmp_path / "new", settings=scaled.settings + WELL) as gateway:
        check_goes_on(gateway.url, made)
    with GatewayProcess(data_dir=tmp_path / "back", settings=PLAIN + WELL) as gateway:
        check_goes_on(gateway.url, made)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Make an installation with two batches that have ended and a large file."""
    with GatewayProcess(data_dir=tmp_path / "data", settings=PLAIN + WELL) as gateway:
        for batch_id in (create(gateway.url, a="simulator/m"), create(gateway.url, b="simulator/m")):
            until(gateway.url, batch_id, status="ended")
        upload(gateway.url, bytes(range(256)) * 70_000, "large.bin", "user_data")
    return tmp_path / "data"


TAMPERED = {
    "value": ("UPDATE batches SET succeeded = 0 WHERE key = 2", "batches: key 2 differs in succeeded"),
    "row": ("DELETE FROM files WHERE key = 1", "files: key 1 is missing"),
    "more": (
        "INSERT INTO batch_providers SELECT workspace, 'zzz', batch_key FROM batch_providers LIMIT 1",
        "batch_providers: workspace 'default', provider 'zzz', batch_key 1 is not in the source",
    ),
}


@pytest.mark.parametrize(("statement", "told"), TAMPERED.values(), ids=TAMPERED)
def test_a_verification_names_the_row_that_is_not_what_it_was(
    scaled: Scaled, small: Path, statement: str, told: str
) -> None:
    assert migrate(small, scaled.config).returncode == 0
    with psycopg.connect(scaled.database_url, autocommit=True) as connection:
        connection.execute(statement.encode())
    done = migrate(small, scaled.config, "--verify")
    assert (done.returncode, told in done.stderr, "DIFFERS" in done.stdout) == (1, True, True)


def test_a_verification_names_the_body_that_is_not_what_it_was(scaled: Scaled, small: Path) -> None:
    assert migrate(small, scaled.config).returncode == 0
    name = next(name for name in scaled.server.names() if name.startswith("files/"))
    content = scaled.server.read(name)
    scaled.server.write(name, content[:-1] + b"\0")
    done = migrate(small, scaled.config, "--verify")
    assert (done.returncode, f"{name}: missing in the target, or different from the source" in done.stderr) == (1, True)


def test_a_copy_that_was_interrupted_is_run_again_and_passes_over_what_is_there(scaled: Scaled, small: Path) -> None:
    with psycopg.connect(scaled.database_url) as connection:
        # Rows wait for this one, when all bodies have been copied.
        connection.execute("LOCK TABLE batch_providers IN SHARE MODE")
        words = (*PROGRAM, "transfer", "--from", str(small), "--to", str(scaled.config))
        with subprocess.Popen(words, env=clean_environment(), stdout=subprocess.PIPE, text=True) as copying:
            assert copying.stdout is not None
            try:
                while "were there already" not in (line := copying.stdout.readline()):
                    assert line
            finally:
                copying.kill()
    done = migrate(small, scaled.config)
    assert done.returncode == 0, done.stderr
    assert "; 5 were there already" in done.stdout


def test_a_body_that_is_gone_from_the_source_is_named_and_nothing_is_kept(scaled: Scaled, small: Path) -> None:
    (results,) = list((small / "blobs" / "batches").glob("*/results*"))[:1]
    results.unlink()
    done = migrate(small, scaled.config)
    assert (done.returncode, results.name in done.stderr) == (1, True)
    with psycopg.connect(scaled.database_url) as connection:
        assert connection.execute("SELECT count(*) FROM batches").fetchone() == (0,)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    with exclusive_folder(folder):
        yield


def test_an_installation_that_is_in_use_and_places_that_are_none_are_refused(
    scaled: Scaled, small: Path, tmp_path: Path
) -> None:
    with held(small):
        done = migrate(small, scaled.config)
    assert done.stderr == f"Error: data_dir: a gateway is using {small}; stop it first\n"
    assert f"To    PostgreSQL, on this machine{urlsplit(scaled.database_url).path}, bodies in s3://" in done.stdout
    (tmp_path / "empty").mkdir()
    done = migrate(tmp_path / "empty", scaled.config)
    assert (done.returncode, "contains no batchgate.db" in done.stderr) == (2, True)
    assert not list((tmp_path / "empty").iterdir())
    with GatewayProcess(data_dir=tmp_path / "new", settings=scaled.settings + WELL):
        done = migrate(small, scaled.config)
        assert (done.returncode, "the database is in use by" in done.stderr) == (1, True)
    with closing(sqlite3.connect(small / "batchgate.db")) as connection:
        connection.execute("DELETE FROM batchgate_migrations")
        connection.commit()
    done = migrate(small, scaled.config)
    assert (done.returncode, "start this version of the gateway on it once" in done.stderr) == (1, True)
