"""Plants keys in every possible place, makes every kind of call fail, and searches all output for the keys.

The searched output is: stdout and stderr of the processes in both log formats, every HTTP response, the metrics, the
results, every file of the data folder, and every row of the database. Keys are searched in plain text and in common
encodings.
"""

from __future__ import annotations

import asyncio
import base64
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit, urlunsplit

import aiohttp
import msgspec
import psycopg
import pytest
from aiohttp import web
from cryptography.fernet import Fernet

from batchgate.store.postgres import PostgresAddress, PostgresStore
from tests.support.command import PROGRAM
from tests.support.databases import Database, new_database
from tests.support.gateway_process import GatewayProcess, clean_environment
from tests.support.http_server import http_server
from tests.support.object_server import object_server
from tests.support.running_app import BATCHES, create_body

PLACES: Final = ("setting", "variable", "file", "database", "replaced", "odd", "compatible")
"""Accounts whose keys come from different places, all on a provider that returns the request that it received."""
KEYS: Final = {place: f"sk-{place}-planted-1f3a" for place in PLACES} | {
    "odd": "7f/3Q+9=planted==",
    "rejected": "planted.9",
}
MASTER: Final = "planted" * 6 + "A="
OLD_MASTER: Final = "Planted" * 6 + "A="
OPERATOR, USER, UNKNOWN = "sk-bf-operator-planted", "sk-bf-user-planted", "sk-bf-unknown-planted"
PASSWORD, IN_URL, REFUSED = "db-planted-password", "url-planted-password", "sk-refused-planted"
BLOB_KEY: Final = "blob-planted-secret"
ALL_KEYS: tuple[str, ...] = (
    *KEYS.values(),
    MASTER,
    OLD_MASTER,
    OPERATOR,
    USER,
    UNKNOWN,
    PASSWORD,
    IN_URL,
    REFUSED,
    BLOB_KEY,
)
UNREACHABLE_BUCKET: Final = f"""
blob_url = "s3://bucket"
[storage_options]
secret_access_key = "{BLOB_KEY}"
access_key_id = "k"
endpoint = "http://127.0.0.1:9"
region = "r"
"""
FAULTS: Final = ("refused", "failing", "garbage", "moved", "odd-error")


def encodings(key: str) -> Iterator[bytes]:
    """Yield a key in plain text and in the encodings in which output could contain it."""
    plain = key.encode()
    yield plain
    yield plain[::-1]
    yield plain.hex().encode()
    yield quote(key, safe="").encode()
    yield msgspec.json.encode(key)[1:-1].replace(b"/", b"\\/")
    for shift in range(3):  # inside a longer text, at each alignment
        yield base64.b64encode(b"\0" * shift + plain)[4:-4]


def check_no_key(source: str, written: bytes) -> None:
    """Search for every key; the failure message names the source and not the key."""
    for number, key in enumerate(ALL_KEYS):
        for way, text in enumerate(encodings(key)):
            assert text not in written, f"key {number} of the test, encoding {way}, stands in {source}"


async def echo(request: web.Request) -> web.Response:
    """Respond as badly as a provider may: with the key of the call."""
    body = await request.read()
    key = request.headers.get("x-api-key") or request.headers["authorization"]
    text = f"{key} may not do this; key={quote(key)}"
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": text, "code": key, "param": key}}
    answers = {
        "refused": web.json_response(error, status=400, headers={"x-echo": key, "request-id": key}),
        "failing": web.json_response(error, status=500, headers={"x-should-retry": "false"}),
        "garbage": web.Response(text=text),
        "moved": web.Response(status=307, headers={"Location": f"https://elsewhere.example/?key={key}"}),
        "odd-error": web.Response(text=f"<html>{key}</html>" * 200, status=404, content_type="text/html"),
        "rejected": web.json_response(error, status=401),
    }
    model = msgspec.json.decode(body)["model"]
    if model not in answers:
        assert request.transport is not None
        request.transport.abort()
    return answers.get(model, web.Response())


def settings_of(folder: Path, upstream: str, blobs: str) -> str:
    """Return the settings, with keys in every place that allows one."""
    (folder / "key").write_text(f"{KEYS['file']}\n")
    places = {
        "setting": f'api_key = "{KEYS["setting"]}"',
        "odd": f'api_key = "{KEYS["odd"]}"',
        "compatible": f'api_key = "{KEYS["compatible"]}"',
        "rejected": f'api_key = "{KEYS["rejected"]}"',
        "variable": 'api_key_env = "PLANTED_VARIABLE"',
        "file": f'api_key_file = "{folder / "key"}"',
        "database": 'api_key_secret = "kept"',
        "replaced": 'api_key_secret = "replaced"',
    }
    accounts = "".join(
        f'[accounts.{name}]\nprovider = "{"vllm" if name == "compatible" else "anthropic"}"\n'
        f'base_url = "{upstream}"\n{key}\n'
        for name, key in places.items()
    )
    return f"""
shutdown_timeout = 0
{blobs}
[accounts.away]
provider = "anthropic"
base_url = "http://somebody:{IN_URL}@127.0.0.1:9"
api_key = "{KEYS["setting"]}"
{accounts}
[api_keys.operator]
key = "{OPERATOR}"
scopes = ["read", "submit", "admin"]
[api_keys.user]
key_env = "PLANTED_USER"
"""


class Installation:
    """A database with the settings and environment of its processes; all their output is searched."""

    def __init__(self, folder: Path, database: Database, settings: str) -> None:
        self.folder = folder
        self.database = database
        self.settings = settings
        self.environment = {
            "PLANTED_VARIABLE": KEYS["variable"],
            "PLANTED_USER": USER,
            "BATCHGATE_MASTER_KEY": f"{MASTER} {OLD_MASTER}",
            "BATCHGATE_DATA_DIR": str(database.path.parent),
        }
        if database.url is not None:
            parts = urlsplit(database.url)  # the test server accepts any password
            user = parts.netloc.partition("@")[0]
            file = folder / "url"
            file.write_text(urlunsplit(parts._replace(netloc=f"{user}:{PASSWORD}@{parts.netloc.partition('@')[2]}")))
            self.environment["BATCHGATE_DATABASE_URL_FILE"] = str(file)
        self.config = folder / "settings.toml"
        self.config.write_text(settings)

    def command(self, *words: str, stdin: str = "", **changed: str) -> None:
        """Run a command; it may fail."""
        completed = subprocess.run(
            [*PROGRAM, *words, "--config", str(self.config)],
            input=stdin.encode(),
            env=clean_environment(self.environment | changed),
            capture_output=True,
            timeout=60,
            check=False,
        )
        check_no_key(f"the output of {words[:2]}", completed.stdout + completed.stderr)

    @contextmanager
    def gateway(self, form: str) -> Iterator[GatewayProcess]:
        """Run a gateway, and search its output when it has stopped."""
        options = ("--log-level", "debug", "--log-format", form)
        with GatewayProcess(
            data_dir=self.database.path.parent, settings=self.settings, environment=self.environment, options=options
        ) as gateway:
            yield gateway
            gateway.terminate()
            assert gateway._process.stdout is not None
            check_no_key("stdout", gateway._process.stdout.read())
            check_no_key("stderr", gateway.log.encode())
            assert "call_failed" in gateway.log or form == "text"

    async def damage(self, name: str) -> None:
        """Replace the ciphertext of a secret by an invalid one."""
        if self.database.url is None:
            with closing(sqlite3.connect(self.database.path, isolation_level=None)) as connection:
                connection.execute("UPDATE secrets SET ciphertext = x'00' WHERE name = ?", (name,))
            return
        async with PostgresStore(PostgresAddress(self.database.url)) as store:
            await store.secrets.put_secret(name, b"\0", 1)

    def dump(self) -> Iterator[tuple[str, bytes]]:
        """Read every row of the database, and every file of the data folder."""
        if self.database.url is not None:
            with psycopg.connect(self.database.url) as connection:
                tables = connection.execute("SELECT relname FROM pg_stat_user_tables").fetchall()
                for (table,) in tables:
                    with connection.cursor().copy(f"COPY {table} TO STDOUT (FORMAT binary)".encode()) as copy:
                        yield f"the table {table}", b"".join(map(bytes, copy))
        for path in self.database.path.parent.rglob("*"):
            if path.is_file():
                yield f"the file {path.name}", path.read_bytes()


class Caller:
    """Calls the gateway, and searches each response with its headers."""

    def __init__(self, client: aiohttp.ClientSession) -> None:
        self._client = client

    async def call(self, method: str, path: str, *, key: str = OPERATOR, **options: Any) -> tuple[int, bytes]:
        """Make a call and search its response."""
        async with self._client.request(method, path, headers={"x-api-key": key}, **options) as response:
            body = await response.read()
            check_no_key(f"the answer of {method} {path.partition('?')[0]}", body + str(response.headers).encode())
            return response.status, body

    async def json(self, method: str, path: str, **options: Any) -> Any:
        """Make a call that must succeed, and return its JSON."""
        status, body = await self.call(method, path, **options)
        assert status == 200, body
        return msgspec.json.decode(body)


async def create_key(client: aiohttp.ClientSession) -> str:
    """Create an API key; only this response contains it."""
    path, headers = "/api/workspaces/default/keys", {"x-api-key": OPERATOR}
    async with client.post(path, json={"name": "made"}, headers=headers) as response:
        return str((await response.json())["key"])


async def bad_calls(caller: Caller) -> None:
    """Send keys in places where they are invalid."""
    for key in (UNKNOWN, MASTER, KEYS["setting"], ""):
        assert (await caller.call("GET", BATCHES, key=key))[0] == 401
    for path in (f"{BATCHES}?api_key={UNKNOWN}&limit={UNKNOWN}", "/api/secrets/kept"):
        await caller.call("POST", path, json={"requests": [REFUSED]})
    for body in ({"value": [REFUSED]}, {"value": f"{REFUSED}\0"}, {"value": f"{REFUSED}ü"}, REFUSED, {"more": REFUSED}):
        assert (await caller.call("PUT", "/api/secrets/kept", json=body))[0] == 400
    broken = f'{{"value": "{REFUSED}'.encode()
    for data in (broken, broken + b"\xff", b"\x1f\x8b" + broken):
        status, _ = await caller.call("PUT", "/api/secrets/kept", data=data)
        assert status in {400, 415}
    for method in ("PUT", "DELETE"):
        assert (await caller.call(method, "/api/secrets/kept", key=USER, json={"value": REFUSED}))[0] == 403


async def bad_batch(caller: Caller) -> None:
    """Run a batch in which every account has every fault, and read its results."""
    models = [f"{place}/{kind}" for place in PLACES for kind in FAULTS]
    endless = [*(f"{place}/broken" for place in PLACES), "rejected/rejected", "away/any"]
    body = create_body(*(f"r{number}" for number in range(len(models) + len(endless))))
    for request, model in zip(body["requests"], (*models, *endless), strict=True):
        request["params"]["model"] = model
    batch = await caller.json("POST", BATCHES, json=body)
    place = f"{BATCHES}/{batch['id']}"
    while (await caller.json("GET", f"/api/batches/{batch['id']}/progress"))["errored"] < len(models):
        await caller.call("GET", "/health")
        await caller.call("GET", "/metrics")
        await caller.call("GET", f"/api/batches/{batch['id']}/results")
    await caller.json("POST", f"{place}/cancel")
    while batch["processing_status"] != "ended":
        batch = await caller.json("GET", place)
    assert batch["request_counts"]["errored"] >= len(models)
    _, results = await caller.call("GET", f"{place}/results")
    assert results.count(b"[key]") >= len(PLACES) * 2
    await caller.json("GET", f"{BATCHES}?limit=100")


def test_the_search_finds_every_planted_key_in_several_encodings() -> None:
    for key in ALL_KEYS:
        for written in (key, f"x{base64.b64encode(key.encode()).decode()}", f"key%3D{quote(key, safe='')}"):
            with pytest.raises(AssertionError, match="of the test"):
                check_no_key("here", b"some" + written.encode() + b"thing")


@pytest.mark.parametrize(("kind", "form"), [("sqlite", "json"), ("sqlite", "text"), ("postgres", "json")])
async def test_no_key_is_written_anywhere_when_calls_fail(
    tmp_path: Path, kind: Any, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with new_database(kind, data) as database, object_server() as bucket:
        options = bucket.options | {"secret_access_key": BLOB_KEY}
        table = ", ".join(f'{name} = "{value}"' for name, value in options.items())
        blobs = f'blob_url = "{bucket.blob_url}"\nstorage_options = {{ {table} }}\n' if kind == "postgres" else ""
        async with http_server(echo, "/{path:.*}") as upstream:
            installation = Installation(tmp_path, database, settings_of(tmp_path, upstream, blobs))
            for name, key in (("kept", KEYS["database"]), ("replaced", UNKNOWN)):
                await asyncio.to_thread(
                    installation.command, "secrets", "set", name, stdin=key, BATCHGATE_MASTER_KEY=OLD_MASTER
                )
            await asyncio.to_thread(installation.command, "secrets", "reencrypt")
            with installation.gateway(form) as gateway:
                async with aiohttp.ClientSession(gateway.url) as client:
                    caller = Caller(client)
                    monkeypatch.setattr(__name__ + ".ALL_KEYS", (*ALL_KEYS, created_key := await create_key(client)))
                    await caller.call("GET", "/api/workspaces/default/keys")
                    assert (await caller.call("GET", BATCHES, key=created_key))[0] == 200
                    await caller.call("GET", "/api/secrets", key=created_key)
                    await caller.json("PUT", "/api/secrets/replaced", json={"value": KEYS["replaced"]})
                    await bad_calls(caller)
                    await bad_batch(caller)
                    await installation.damage("kept")
                    await caller.json("PUT", "/api/secrets/other", json={"value": REFUSED})
                    await caller.json("GET", "/api/secrets")
                assert "provider_key_read_failed" in gateway.log or form == "text"
        for name, written in installation.dump():
            check_no_key(name, written)
        for name in bucket.names():
            check_no_key(f"the blob {name}", bucket.read(name))


@pytest.mark.parametrize(
    ("settings", "changed"),
    [
        (f'[accounts.a]\nprovider = "anthropic"\napi_key = ["{REFUSED}"]', {}),
        (f'[accounts.a]\nprovider = "anthropic"\napi_key = "{REFUSED}"\napi_key_file = "key"', {}),
        (f'[accounts.a]\nprovider = "anthropic"\napi_key = "{REFUSED}', {}),
        (f'[accounts.a]\nprovider = "none"\napi_key = "{REFUSED}"', {}),
        (f'[accounts.a]\nprovider = "anthropic"\nbase_url = "ftp://user:{IN_URL}@host"', {}),
        (f'[accounts.a]\nprovider = "anthropic"\nbase_url = "user:{IN_URL}@host"', {}),
        (f'[api_keys.a]\nkey = ["{REFUSED}"]', {}),
        (f'[api_keys]\na.key = "{REFUSED}"\nb.key = "{REFUSED}"', {}),
        (f'master_key = "{MASTER}"', {}),
        ("", {"BATCHGATE_MASTER_KEY": f"{MASTER}{OLD_MASTER}"}),
        ("", {"BATCHGATE_MASTER_KEYS": MASTER}),
        (f'database_url = "postgresql://user:{PASSWORD}@@host/db"', {}),
        (f'database_url = "postgres:/{PASSWORD}"', {}),
        (f'database_wait_timeout = 0\ndatabase_url = "postgresql://user:{PASSWORD}@127.0.0.1:9/db"', {}),
        (f'database_url = "host=127.0.0.1 port=9 password={PASSWORD} user=u"', {}),
        (f'database_url = ["{PASSWORD}"]', {}),
        (f'blob_url = "s3://user:{BLOB_KEY}@bucket"', {}),
        (f'blob_url = "{BLOB_KEY}"', {}),
        (f'blob_url = "s3://bucket"\nstorage_options = {{ secret = "{BLOB_KEY}" }}', {}),
        (f'blob_url = "s3://bucket"\nstorage_options = {{ secret_access_key = ["{BLOB_KEY}"] }}', {}),
        (UNREACHABLE_BUCKET, {}),
    ],
)
def test_a_start_that_fails_prints_the_reason_without_a_key(
    tmp_path: Path, settings: str, changed: dict[str, str]
) -> None:
    config = tmp_path / "settings.toml"
    config.write_text(settings)
    words = ["serve", "--config", str(config), "--port", "0", "--data-dir", str(tmp_path / "data")]
    completed = subprocess.run(
        [*PROGRAM, *words], env=clean_environment(changed), cwd=tmp_path, capture_output=True, timeout=60, check=False
    )
    assert completed.returncode != 0
    assert b"Error: " in completed.stderr
    check_no_key("the output", completed.stdout + completed.stderr)


def test_the_error_for_an_invalid_master_key_file_does_not_quote_it(tmp_path: Path) -> None:
    (tmp_path / "master").write_text(REFUSED)
    environment = clean_environment({"BATCHGATE_MASTER_KEY_FILE": str(tmp_path / "master")})
    completed = subprocess.run(
        [*PROGRAM, "serve", "--port", "0"], env=environment, cwd=tmp_path, capture_output=True, timeout=60, check=False
    )
    assert (completed.returncode, b"number 1 is not one" in completed.stderr) == (2, True)
    check_no_key("the output", completed.stdout + completed.stderr)


def test_the_master_keys_of_this_module_are_valid() -> None:
    assert [Fernet(key) for key in (MASTER, OLD_MASTER)]
