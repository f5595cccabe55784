"""What users do wrong, and the answer: what is wrong, where, and what would be right.

Each mistake that somebody made with the first version is a test here, on the real command line. Ports and folders that
are in use are tests of `test_command_line`, since only a process meets them.
"""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from aiohttp import web
from click.testing import Result

from batchgate.account_settings import AccountSettings
from batchgate.engine.model.api_key import SCOPES
from batchgate.settings import ApiKeySettings
from tests.support.command_in_process import command
from tests.support.http_server import serving
from tests.support.running_app import RunningApp, running_app, simulator

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY: Final = "sk-of-a-caller"
PARAMS: Final = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}
MESSAGE: Final = {"custom_id": "a", "params": PARAMS}
OPENAI: Final = {"custom_id": "b", "method": "POST", "url": "/v1/chat/completions", "body": PARAMS}
NO_SUCH_MODEL: Final = {"message": "The model `gpt-9` does not exist", "code": "model_not_found"}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def app(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningApp]:
    """Run a gateway with a provider that knows no model, and one that is too slow."""

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"error": NO_SUCH_MODEL}, status=404)

    provider = web.Application()
    provider.router.add_post("/v1/{path:.*}", answer)
    slow = simulator(latency=60)
    async with serving(provider) as url:
        accounts = {
            "sim": simulator(),
            "openai": AccountSettings(provider="openai", base_url=f"{url}/v1", api_key="sk-x"),
            "slow": AccountSettings(provider="simulator", simulator=slow.simulator, timeout=0.05),
        }
        folder = tmp_path_factory.mktemp("gateway")
        keys = {"me": ApiKeySettings(key=KEY, scopes=SCOPES)}
        async with running_app(
            folder, accounts=accounts, api_keys=keys, default_provider="sim", shutdown_timeout=0
        ) as running:
            yield running


def error_code(done: Result) -> tuple[str, int]:
    """Return the code of the error on stderr, once its exit status is that of the command."""
    error = json.loads(done.stderr.splitlines()[-1])["error"]
    assert error["exit_status"] == done.exit_code
    return error["code"], done.exit_code


def jsonl(*requests: dict[str, Any]) -> str:
    return "".join(json.dumps(request) + "\n" for request in requests)


def without(request: dict[str, Any], field: str, **more: object) -> dict[str, Any]:
    return {name: value for name, value in request.items() if name != field} | more


FILES: Final = {
    "nothing": ("f.jsonl", "", r"the file is empty: a request is a line such as .*params.* or .*body"),
    "blank lines": ("f.jsonl", "\n \n", r"the file is empty"),
    "text": (
        "f.txt",
        "Tell me a joke\nAnd one more\n",
        r"line 1: Invalid JSON: .*It begins with 'Tell me a joke', and a request is an object in JSON: .*custom_id",
    ),
    "CSV": (
        "f.csv",
        "id,text\n1,Hi\n",
        r"line 1 .*looks like the columns of a table.*batchgate run \S+f\.csv --prompt",
    ),
    "prompts": (
        "f.jsonl",
        jsonl({"prompt": "Hi"}),
        r"line 1 is no request: it has the fields prompt.*If .* columns: batchgate run \S+ --prompt '{prompt}'",
    ),
    "array": (
        "f.json",
        json.dumps([MESSAGE], indent=1),
        r'line 1: .*write one request a line, as `jq -c ".\[\]" FILE`',
    ),
    "cut line": (
        "f.jsonl",
        jsonl(MESSAGE) + '{"custom_id": "b", "par',
        r"line 2: Invalid JSON: Input data was truncated",
    ),
    "no limit": (
        "f.jsonl",
        jsonl(without(MESSAGE, "params", params=without(PARAMS, "max_tokens"))),
        r'line 1: params\.max_tokens: it is missing: the Messages API needs it .*, such as "max_tokens": 1024',
    ),
    "no params": (
        "f.jsonl",
        jsonl({"custom_id": "a"} | PARAMS),
        r"line 1: max_tokens, messages, model belong into params: .*, or into body: ",
    ),
    "another id": (
        "f.jsonl",
        jsonl(MESSAGE, without(MESSAGE, "custom_id", id="b")),
        r"line 2: custom_id: it is missing; rename id to custom_id$",
    ),
    "no id": (
        "f.jsonl",
        jsonl(without(OPENAI, "custom_id")),
        r"line 1: custom_id: it is missing; write an id of your own",
    ),
    "bad id": (
        "f.jsonl",
        "\n" + jsonl(MESSAGE, MESSAGE | {"custom_id": "b c"}),
        r"line 3: custom_id: it must be 1 to 64 letters, digits, hyphens and underscores \(request id",
    ),
    "equal ids": (
        "f.jsonl",
        jsonl(MESSAGE, MESSAGE, MESSAGE),
        r"line 2: custom_id: 'a' is already the custom_id of line 1; each must be unique",
    ),
    "two APIs": (
        "f.jsonl",
        jsonl(MESSAGE, OPENAI),
        r"line 2: it has body, and line 1 has params; a file has requests of one",
    ),
    "a field too many": ("f.jsonl", jsonl(MESSAGE | {"modle": "m"}), r"line 1: modle: there is no such field"),
}


@pytest.mark.parametrize("mistake", FILES)
async def test_a_file_that_is_no_batch_is_refused_with_line_and_remedy(
    app: RunningApp, tmp_path: Path, mistake: str
) -> None:
    name, text, answer = FILES[mistake]
    file = tmp_path / name
    file.write_text(text)
    done = await command("submit", str(file), url=app.url, key=KEY)
    assert (done.exit_code, done.stdout) == (1, "")
    assert re.search(f"^Error: .*{answer}", done.stderr), done.stderr
    assert "match pattern" not in done.stderr
    checked = await command("validate", str(file), url=app.url, key=KEY)
    assert checked.exit_code in {1, 3}
    assert ("line" in answer) <= ("line" in checked.stderr)


async def test_openai_requests_are_submitted_without_being_asked_for(app: RunningApp, tmp_path: Path) -> None:
    (tmp_path / "f.jsonl").write_text(jsonl(OPENAI | {"body": PARAMS | {"model": "sim/m"}}))
    done = await command("submit", str(tmp_path / "f.jsonl"), "--wait", url=app.url, key=KEY)
    assert (done.exit_code, "The request succeeded" in done.stderr) == (0, True), done.stderr


@pytest.mark.parametrize(
    ("words", "status", "answer"),
    [
        ("missing.jsonl", 2, r"'missing\.jsonl': No such file or directory"),
        ("FILE --account nosuch", 1, r"--account: there is no account 'nosuch'; configured: sim, openai, slow"),
        (f"FILE --name {'n' * 129}", 2, r"'--name': a name has at most 128 characters; this one has 129"),
        ("FILE --lane natve", 2, r"'natve' is not one of 'auto', 'direct', 'native'"),
        ("FILE --wiat", 2, r"No such option '--wiat'. Did you mean '--wait'\?"),
    ],
)
async def test_an_option_that_does_not_fit_is_named_with_what_would(
    app: RunningApp, tmp_path: Path, words: str, status: int, answer: str
) -> None:
    (tmp_path / "f.jsonl").write_text(jsonl(MESSAGE))
    given = words.replace("FILE", str(tmp_path / "f.jsonl")).split()
    done = await command("submit", *given, url=app.url, key=KEY)
    assert done.exit_code == status
    assert re.search(answer, done.stderr), done.stderr


async def test_a_model_that_does_not_exist_ends_the_waiting_early_and_says_why(app: RunningApp, tmp_path: Path) -> None:
    file = tmp_path / "f.jsonl"
    wrong = PARAMS | {"model": "openai/gpt-9"}
    file.write_text(jsonl(*({"custom_id": f"r{number}", "params": wrong} for number in range(2000))))
    done = await command("submit", str(file), "--wait", url=app.url, key=KEY)
    batch_id = done.stdout.split()[0]
    assert done.exit_code == 1
    reason = r"the first \d+ results for gpt-9 are the same error: The model `gpt-9` does not exist"
    assert re.search(
        rf"{batch_id} is paused: {reason}\nTo send the others .*: batchgate resume {batch_id}", done.stderr
    )
    again = await command("wait", batch_id, "--json", url=app.url, key=KEY)
    assert error_code(again) == ("batch_paused", 1)
    _, progress = await app.call("GET", f"/api/batches/{batch_id}/progress", headers={"x-api-key": KEY})
    assert progress["errored"] < 1000
    assert (await command("cancel", batch_id, url=app.url, key=KEY)).exit_code == 0


async def test_an_unknown_account_before_the_model_fails_with_the_accounts_that_exist(
    app: RunningApp, tmp_path: Path
) -> None:
    (tmp_path / "f.jsonl").write_text(jsonl(MESSAGE | {"params": PARAMS | {"model": "nosuch/gpt-5"}}))
    done = await command("submit", str(tmp_path / "f.jsonl"), "--account", "openai", "--wait", url=app.url, key=KEY)
    assert done.exit_code == 3
    assert "not_found_error  no account is called 'nosuch'; configured: sim, openai, slow." in done.stderr


async def test_a_provider_that_is_too_slow_is_shown_with_the_timeout_and_its_setting(
    app: RunningApp, tmp_path: Path
) -> None:
    (tmp_path / "f.jsonl").write_text(jsonl(MESSAGE | {"params": PARAMS | {"model": "slow/m"}}))
    batch_id = (await command("submit", str(tmp_path / "f.jsonl"), url=app.url, key=KEY)).stdout.strip()
    while "\nRefused" not in (shown := (await command("show", batch_id, url=app.url, key=KEY)).stdout):
        pass
    assert re.search(
        r"^Refused +.*of account 'slow': timeout_error: .* within 0\.05 s; its setting timeout says how long",
        shown,
        re.MULTILINE,
    )
    assert (await command("cancel", batch_id, url=app.url, key=KEY)).exit_code == 0


# Reaching the gateway


async def test_where_no_gateway_is_or_another_server_the_answer_says_how_to_reach_one(app: RunningApp) -> None:
    nothing = await command("list", url="http://127.0.0.1:1")
    assert re.search(
        r"Cannot connect .*127\.0\.0\.1:1 \(Connection refused\)\. Start one with `batchgate serve`", nothing.stderr
    )
    async with serving(web.Application()) as url:
        other = await command("list", url=url)
    assert f"{url} is not a Batchgate gateway: it answered with HTTP status 404." in other.stderr
    assert "set it with --url or BATCHGATE_URL" in other.stderr
    assert (nothing.exit_code, other.exit_code) == (1, 1)
    for path in ("/anthropic", "/openai/v1"):
        assert (await command("list", url=app.url + path, key=KEY)).exit_code == 0


async def test_a_missing_and_a_wrong_key_are_told_apart_in_words_of_the_command_line(app: RunningApp) -> None:
    missing, wrong = await command("list", url=app.url), await command("list", url=app.url, key=f"{KEY}-not")
    assert "The gateway needs an API key: set BATCHGATE_API_KEY or --api-key." in missing.stderr
    assert "batchgate keys create NAME" in missing.stderr
    assert "does not accept the API key of --api-key or BATCHGATE_API_KEY" in wrong.stderr
    assert (missing.exit_code, wrong.exit_code, missing.stdout, wrong.stdout) == (1, 1, "", "")


async def test_a_heading_is_not_printed_before_an_error(app: RunningApp) -> None:
    for words in (("keys", "list"), ("workspaces", "list"), ("webhooks", "list"), ("accounts",), ("files",)):
        assert (await command(*words, url=app.url, key="sk-wrong")).stdout == "", words


async def test_a_mistyped_command_is_answered_with_the_nearest() -> None:
    for words, near in ((("lst",), "list"), (("submti",), "submit"), (("keys", "creat"), "create")):
        done = await command(*words)
        assert (done.exit_code, f"Did you mean '{near}'?" in done.stderr) == (2, True), done.stderr


# Settings

VARIABLE: Final = "BATCHGATE_PROT"
SETTINGS: Final = {
    "typo at the top": ("prot = 1", r"prot: there is no such setting; did you mean port\?"),
    "typo in a table": (
        '[accounts.a]\nprovidr = "openai"',
        r"accounts\.a\.providr: there is no such setting; did you mean provider\?",
    ),
    "TOML syntax": ("port = \n", r"batchgate\.toml: valid TOML: .*line 1"),
    "wrong provider": (
        '[accounts.a]\nprovider = "opnai"',
        r"accounts\.a\.provider: .*not 'opnai'; did you mean openai\?",
    ),
    "llama.cpp": (
        '[accounts.a]\nprovider = "llama.cpp"',
        r"did you mean vllm \(any server with OpenAI's API, at its base_url\)\?",
    ),
    "no key": ('[accounts.a]\nprovider = "openai"', r"accounts\.a\.api_key: the key for https://api\.openai\.com/v1"),
    "variable not set": (
        '[accounts.a]\nprovider = "openai"\napi_key_env = "NOT_SET"',
        r"accounts\.a\.api_key_env: the environment variable NOT_SET is not set",
    ),
    "URL without scheme": (
        '[accounts.a]\nprovider = "vllm"\nbase_url = "localhost:8000"',
        r"accounts\.a\.base_url: .*http",
    ),
    "no base_url": (
        '[accounts.a]\nprovider = "vllm"',
        r"accounts\.a\.base_url: the URL of the server, such as http://localhost:8000/v1",
    ),
    "no account": ("port = 1", r"none is configured; `batchgate init` writes one"),
    "misspelt variable": ("", r"BATCHGATE_PROT: there is no such setting; did you mean BATCHGATE_PORT\?"),
    "beyond this machine": (
        'host = "0.0.0.0"',
        r"keys +warning +none in the settings; at 0\.0\.0\.0 a start needs one: `batchgate keys create`",
    ),
}


@pytest.mark.parametrize("mistake", SETTINGS)
async def test_a_wrong_setting_is_found_before_a_start_with_its_place_and_what_is_expected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mistake: str
) -> None:
    text, answer = SETTINGS[mistake]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "batchgate.toml").write_text(text)
    given = {VARIABLE: "1"} if VARIABLE in answer else {}
    done = await command("check", environment=given)
    assert done.exit_code == 1
    assert re.search(answer, done.stdout), done.stdout


# Errors as JSON


@pytest.mark.parametrize(
    ("words", "code", "status"),
    [
        ("show msgbatch_a --json", "gateway_unreachable", 1),
        ("wait msgbatch_a --json", "gateway_unreachable", 1),
        ("list --json --bogus", "usage_error", 2),
        ("list --limit many --json", "usage_error", 2),
        ("lst --json", "usage_error", 2),
        ("--bogus list --json", "usage_error", 2),
    ],
)
async def test_with_json_the_error_that_ends_a_command_has_the_code_of_its_cause(
    words: str, code: str, status: int
) -> None:
    assert error_code(await command(*words.split(), url="http://127.0.0.1:1")) == (code, status)


async def test_what_looks_like_the_option_json_but_is_an_argument_leaves_errors_as_text() -> None:
    done = await command("show", "--bogus", "--", "--json")
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (2, "Error: No such option '--bogus'.")
