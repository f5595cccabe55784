"""``batchgate init`` and ``check``: from nothing to settings with which a gateway can call its provider."""

import json
import re
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from click.testing import Result

from tests.support.command_in_process import command
from tests.support.http_server import serving
from tests.support.running_app import running_app
from tests.support.terminal import on_terminal

KEY = "sk-key-that-nobody-may-see"


@pytest.fixture
async def provider() -> AsyncIterator[str]:
    """Run a provider with OpenAI's API that accepts one key."""

    async def models(request: web.Request) -> web.Response:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return web.json_response({"error": {"message": "Incorrect API key", "type": "auth"}}, status=401)
        return web.json_response({"object": "list", "data": []})

    served = web.Application()
    served.router.add_get("/v1/models", models)
    async with serving(served) as url:
        yield f"{url}/v1"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def init(*words: str, key: str | None = KEY) -> Result:
    return await command("init", *words, environment={} if key is None else {"MY_KEY": key})


async def test_init_writes_settings_tests_them_and_never_replaces_a_file_unasked(folder: Path, provider: str) -> None:
    words = ("--provider", "openai", "--key-env", "MY_KEY", "--base-url", provider)
    done = await init(*words)
    assert done.exit_code == 0, done.output
    assert re.fullmatch(
        r"batchgate\.toml is written\.\nopenai: listed its models in \d\.\d\d s\nNext: batchgate serve\n", done.stdout
    )
    file = folder / "batchgate.toml"
    written = tomllib.loads(file.read_text())
    assert written == {"accounts": {"openai": {"provider": "openai", "base_url": provider, "api_key_env": "MY_KEY"}}}
    assert file.stat().st_mode & 0o777 == 0o600
    assert KEY not in file.read_text() + done.output
    file.write_text("# mine\n")
    again = await init(*words)
    assert (again.exit_code, "batchgate.toml is there already. --force replaces it" in again.stderr) == (1, True)
    assert file.read_text() == "# mine\n"
    error = json.loads((await init(*words, "--json")).stderr)["error"]
    assert (error["code"], error["exit_status"]) == ("failed", 1)
    assert "batchgate.toml is there already" in error["message"]
    forced = json.loads((await init(*words, "--force", "--json")).stdout)
    assert (forced["config"], forced["account"]["state"]) == ("batchgate.toml", "ok")
    assert tomllib.loads(file.read_text()) == written


async def test_init_with_a_rejected_key_says_so_and_what_to_do(folder: Path, provider: str) -> None:
    done = await init("--provider", "openai", "--key-env", "MY_KEY", "--base-url", provider, key="sk-wrong")
    assert (done.exit_code, done.stdout) == (1, "batchgate.toml is written.\n")
    assert "openai: authentication_error (401): Incorrect API key" in done.stderr
    assert "Correct batchgate.toml, then run: batchgate check" in done.stderr
    assert (folder / "batchgate.toml").exists()


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("", "Without a terminal to ask on, --provider is needed"),
        ("--provider opnai", "did you mean openai?"),
        ("--provider llama.cpp", "did you mean vllm (any server with OpenAI's API, at its base_url)?"),
        ("--provider vllm", "--base-url is needed, such as http://localhost:8000/v1"),
        ("--provider bedrock", "--region is needed, such as us-east-1"),
        ("--provider openai", "Name the key with --key-env or --key-file, or set OPENAI_API_KEY."),
    ],
)
async def test_init_without_a_terminal_names_the_option_that_is_missing(folder: Path, words: str, answer: str) -> None:
    done = await init(*words.split())
    assert (done.exit_code, answer in done.stderr) == (2, True), done.stderr
    assert names(folder) == []


async def test_init_on_a_terminal_asks_and_keeps_a_typed_key_in_a_private_file(folder: Path, provider: str) -> None:
    async with on_terminal("init", "--base-url", provider) as terminal:
        for question, reply in (("Provider (", "openai"), ("Key (", KEY)):
            await terminal.wait_for(question)
            terminal.type(reply)
        assert await terminal.end() == 0, terminal.text
    assert "Next: batchgate serve" in terminal.text
    assert KEY not in terminal.text
    key_file = folder / "openai.key"
    assert (key_file.read_text().strip(), key_file.stat().st_mode & 0o777) == (KEY, 0o600)
    account = tomllib.loads((folder / "batchgate.toml").read_text())["accounts"]["openai"]
    assert account["api_key_file"] == str(key_file)


async def check(*words: str) -> tuple[Result, dict[str, dict[str, str]]]:
    done = await command("check", *words, "--json", environment={"MY_KEY": KEY})
    return done, {each["name"]: each for each in json.loads(done.stdout)["checks"]}


async def test_check_says_of_everything_whether_it_is_ok_or_why_not(folder: Path, provider: str) -> None:
    accounts = {
        "good": f'provider = "openai"\nbase_url = "{provider}"\napi_key_env = "MY_KEY"',
        "rejected": f'provider = "openai"\nbase_url = "{provider}"\napi_key = "sk-wrong"',
        "down": 'provider = "vllm"\nbase_url = "http://127.0.0.1:1/v1"',
        "unset": 'provider = "openai"\napi_key_env = "NOT_SET"',
        "nowhere": 'provider = "vllm"',
        "unlisted": f'provider = "perplexity"\nbase_url = "{provider}"',
        "sim": 'provider = "simulator"',
    }
    tables = (f"[accounts.{name}]\n{text}\n" for name, text in accounts.items())
    (folder / "batchgate.toml").write_text("".join(tables))
    done, found = await check()
    assert (done.exit_code, json.loads(done.stdout)["ok"]) == (1, False)
    states = {name: each["state"] for name, each in found.items()}
    assert states == dict.fromkeys(
        ("settings", "keys", "data", "files", "database", "account/good", "account/sim"), "ok"
    ) | {
        "account/rejected": "failed",
        "account/down": "failed",
        "account/unset": "failed",
        "account/nowhere": "failed",
        "account/unlisted": "warning",
    }
    said = {name: each["message"] for name, each in found.items()}
    assert re.fullmatch(r"listed its models in \d\.\d\d s", said["account/good"])
    assert said["account/rejected"] == "authentication_error (401): Incorrect API key"
    assert "Connect call failed" in said["account/down"] or "refused" in said["account/down"]
    assert said["account/unset"] == "accounts.unset.api_key_env: the environment variable NOT_SET is not set"
    assert "the URL of the server, such as http://localhost:8000/v1" in said["account/nowhere"]
    assert said["account/unlisted"].endswith("name one to call, as --model unlisted/MODEL")
    assert (said["database"], "is made at the first start" in said["data"]) == (
        "a SQLite file, made at the first start",
        True,
    )
    assert names(folder) == ["batchgate.toml"], "a check changes nothing"
    table = await command("check", environment={"MY_KEY": KEY})
    assert re.search(r"^account/good +ok +listed its models in \d\.\d\d s$", table.stdout, re.MULTILINE)


async def test_check_of_wrong_settings_names_them(folder: Path) -> None:
    (folder / "batchgate.toml").write_text("prot = 1\n")
    done, found = await check()
    assert (done.exit_code, found["settings"]["state"]) == (1, "failed")
    assert found["settings"]["message"] == "prot: there is no such setting; did you mean port?"
    assert (await command("check", "--model", "gpt-5")).exit_code == 2
    (folder / "batchgate.toml").write_text('[accounts.sim]\nprovider = "simulator"\n')
    unknown = await command("check", "--model", "sin/m")
    assert (unknown.exit_code, "there is no account 'sin'; accounts: sim" in unknown.stderr) == (2, True)


async def test_check_works_beside_a_running_gateway_and_sees_a_damaged_database(folder: Path) -> None:
    (folder / "batchgate.toml").write_text('[accounts.sim]\nprovider = "simulator"\n')
    async with running_app(folder / "batchgate-data"):
        done, found = await check()
    assert done.exit_code == 0, done.stdout
    assert found["data"]["message"].endswith("is writable, in use by a running gateway")
    assert found["database"]["message"] == f"SQLite, {folder / 'batchgate-data' / 'batchgate.db'}"
    (folder / "batchgate-data" / "batchgate.db").write_bytes(b"x" * 4096)
    done, found = await check()
    assert (done.exit_code, "file is not a database" in found["database"]["message"]) == (1, True)


async def test_check_says_that_a_shared_database_or_a_bucket_cannot_be_reached(folder: Path) -> None:
    (folder / "batchgate.toml").write_text(
        'database_url = "postgresql://u:hidden@127.0.0.1:1/db"\nhost = "0.0.0.0"\nblob_url = "s3://b/p"\n'
        '[accounts.sim]\nprovider = "simulator"\n[storage_options]\nendpoint = "http://127.0.0.1:1"\n'
        'access_key_id = "a"\nsecret_access_key = "hidden"\nretry_timeout = "0s"\n'
    )
    done, found = await check()
    assert done.exit_code == 1
    assert "hidden" not in done.output
    assert {name: each["state"] for name, each in found.items()} == {
        "settings": "ok",
        "keys": "warning",
        "files": "failed",
        "database": "failed",
        "account/sim": "ok",
    }
    assert "Connection refused" in found["database"]["message"]
