"""The commands that show what a gateway has: accounts, models, files; and those that delete."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from batchgate.account_settings import AccountSettings, PriceSettings
from batchgate.engine.model.api_key import SCOPES
from batchgate.settings import ApiKeySettings
from tests.support.command_in_process import command
from tests.support.http_server import serving
from tests.support.running_app import BATCHES, RunningApp, create_body, running_app, simulator
from tests.support.terminal import on_terminal

ADMIN = "sk-admin"
KEYS = {"admin": ApiKeySettings(key=ADMIN, scopes=SCOPES), "little": ApiKeySettings(key="sk-little")}


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[RunningApp]:
    """Run a gateway with a simulator and an account whose key is rejected."""

    async def reject(_: web.Request) -> web.Response:
        error = {"type": "authentication_error", "message": "invalid x-api-key"}
        return web.json_response({"type": "error", "error": error}, status=401)

    provider = web.Application()
    provider.router.add_route("*", "/v1/{path}", reject)
    prices = {"simulated": PriceSettings(input=2, output=8.5)}
    async with serving(provider) as url:
        accounts = {
            "sim": AccountSettings(provider="simulator", prices=prices, simulator=simulator().simulator, concurrency=9),
            "rejected": AccountSettings(provider="anthropic", base_url=url, api_key="sk-planted"),
        }
        async with running_app(tmp_path, accounts=accounts, api_keys=KEYS, default_provider="sim") as running:
            running.client.headers["x-api-key"] = ADMIN
            yield running


async def run(app: RunningApp, *words: str, key: str = ADMIN) -> Any:
    return await command(*words, url=app.url, key=key)


async def test_accounts_are_listed_with_state_concurrency_and_refusals(app: RunningApp) -> None:
    await app.ended((await app.create("a", "b"))["id"])
    await app.call("POST", BATCHES, json=create_body("a", model="rejected/claude"))
    while "paused" not in (listed := (await run(app, "accounts")).stdout):
        pass
    heading, sim, rejected = listed.splitlines()
    assert re.split(r"  +", heading) == ["NAME", "PROVIDER", "STATE", "CONCURRENCY", "REFUSED", "BATCH API", "WHY"]
    assert re.split(r"  +", sim) == ["sim", "simulator", "ok", "9 of 9", "0% of 2", "no", "-"]
    assert re.search(r"^rejected +anthropic +paused .*rejects its key.*\(since 20\S+ \S+Z\)$", rejected)
    assert "sk-planted" not in listed
    as_json = [json.loads(line) for line in (await run(app, "accounts", "--json")).stdout.splitlines()]
    assert [account["name"] for account in as_json] == ["sim", "rejected"]
    little = (await run(app, "accounts", "list", key="sk-little")).stdout.splitlines()
    assert re.split(r"  +", little[1]) == ["sim", "simulator", "ok", "-", "-", "-", "-"]


async def test_an_account_is_tested_and_the_exit_status_says_how_it_ended(app: RunningApp) -> None:
    good = await run(app, "accounts", "test", "sim", "--model", "simulated")
    assert (good.exit_code, good.stderr) == (0, "")
    assert re.fullmatch(r"sim: ok, called simulated in \d\.\d\d s\n", good.stdout)
    bad = await run(app, "accounts", "test", "rejected")
    assert (bad.exit_code, bad.stdout) == (1, "")
    assert bad.stderr == "rejected: authentication_error (401): invalid x-api-key\n"
    shown = await run(app, "accounts", "test", "rejected", "--json")
    assert (shown.exit_code, json.loads(shown.stdout)["ok"]) == (1, False)
    missing = await run(app, "accounts", "test", "nobody")
    assert (missing.exit_code, "There is no account 'nobody' in the settings." in missing.stderr) == (1, True)
    misplaced = await run(app, "accounts", "--json", "test", "sim")
    assert (misplaced.exit_code, "unexpected extra argument" in misplaced.stderr) == (2, True)


async def test_models_are_listed_with_their_prices(app: RunningApp) -> None:
    await app.ended((await app.create("a"))["id"])
    heading, row = (await run(app, "models")).stdout.splitlines()
    assert re.split(r"  +", heading)[:6] == ["ACCOUNT", "MODEL", "REQUESTS", "INPUT", "CACHED", "OUTPUT"]
    assert row.split() == ["sim", "simulated", "1", "$2", "$2", "$8.5", "-", "-"]
    assert json.loads((await run(app, "models", "--json")).stdout)["requests"] == 1
    none = await run(app, "models", "--account", "rejected")
    assert (none.stdout, "No model" in none.stderr) == ("", True)


async def test_ended_batches_are_deleted_and_others_are_named(app: RunningApp) -> None:
    ended, other = [(await app.create("a"))["id"] for _ in range(2)]
    await app.ended(ended)
    await app.ended(other)
    unasked = await run(app, "delete", ended)
    assert (unasked.exit_code, "without a terminal to ask on, add --yes" in unasked.stderr) == (2, True)
    done = await run(app, "delete", ended, "msgbatch_missing", other, "--yes")
    assert done.exit_code == 1
    assert done.stdout == f"{ended} is deleted.\n{other} is deleted.\n"
    assert done.stderr.startswith("msgbatch_missing is not deleted: ")
    assert (await app.call("GET", f"{BATCHES}/{ended}"))[0] == 404


async def test_waiting_and_retrying_print_the_batch_as_json(app: RunningApp) -> None:
    _, batch = await app.call("POST", BATCHES, json=create_body("a", model="nobody/m"))
    waited = await run(app, "wait", batch["id"], "--json")
    assert (waited.exit_code, json.loads(waited.stdout)["processing_status"]) == (3, "ended")
    retried = json.loads((await run(app, "retry", batch["id"], "--json")).stdout)
    assert (retried["id"] != batch["id"], retried["total"]) == (True, 1)
    again = await run(app, "retry", batch["id"], "--wait", "--json")
    assert (again.exit_code, json.loads(again.stdout)["id"] in again.stderr) == (3, True)


async def test_a_batch_that_runs_is_not_deleted_and_the_answer_says_what_to_do(tmp_path: Path) -> None:
    async with running_app(tmp_path, accounts={"sim": simulator(latency=60)}, shutdown_timeout=0) as app:
        batch_id = (await app.create("a"))["id"]
        refused = await command("delete", batch_id, "--yes", url=app.url)
        assert (refused.exit_code, "Cancel it first." in refused.stderr) == (1, True), refused.stderr


async def test_files_are_listed_shown_downloaded_and_deleted(app: RunningApp, tmp_path: Path) -> None:
    form = aiohttp.FormData({"purpose": "batch"})
    form.add_field("file", b"{}\n", filename="questions.jsonl")
    _, file = await app.call("POST", "/openai/v1/files", data=form)
    heading, row = (await run(app, "files")).stdout.splitlines()
    assert heading.split() == ["ID", "CREATED", "BYTES", "PURPOSE", "NAME"]
    assert re.fullmatch(rf"{file['id']} +20\S+ \S+Z +3  batch +questions\.jsonl", row)
    assert json.loads((await run(app, "files", "list", "--json")).stdout)["id"] == file["id"]
    assert "No file matches" in (await run(app, "files", "list", "--purpose", "vision")).stderr
    shown = (await run(app, "files", "show", file["id"])).stdout
    assert re.search(r"^Name +questions\.jsonl\nBytes +3\nPurpose +batch\n", shown, re.MULTILINE)
    copy = tmp_path / "copy.jsonl"
    assert (await run(app, "files", "download", file["id"], "--output", str(copy))).exit_code == 0
    assert copy.read_bytes() == b"{}\n"
    assert (await run(app, "files", "delete", file["id"], "--yes")).stdout == f"{file['id']} is deleted.\n"
    assert "There are no files." in (await run(app, "files")).stderr


@pytest.mark.parametrize(("no_color", "has_colour"), [("", True), ("1", False)])
async def test_a_terminal_gets_a_table_of_its_width_in_colour_unless_no_color_is_set(
    app: RunningApp, *, no_color: str, has_colour: bool
) -> None:
    batch_id = (await app.create("a"))["id"]
    await app.ended(batch_id)
    given = {"BATCHGATE_URL": app.url, "BATCHGATE_API_KEY": ADMIN, "NO_COLOR": no_color, "COLUMNS": "100"}
    async with on_terminal("list", environment=given) as terminal:
        assert await terminal.end() == 0
    shown = terminal.text
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert all(len(line) <= 100 for line in plain.splitlines()), plain
    assert batch_id in plain
    assert ("\x1b[32mended" in shown) is has_colour, shown


async def test_a_terminal_shows_a_bar_for_each_batch_with_what_failed(tmp_path: Path) -> None:
    accounts = {"sim": simulator(), "slow": simulator(latency=60)}
    async with running_app(tmp_path, accounts=accounts, default_provider="sim", shutdown_timeout=0) as app:
        requests = [*create_body("a", "b")["requests"], *create_body("c", model="nobody/m")["requests"]]
        requests += [{**create_body("d", model="slow/m")["requests"][0]}]
        for name in ("first", "second"):
            status, batch = await app.call(
                "POST", BATCHES, json={"requests": requests}, headers={"batchgate-name": name}
            )
            assert status == 200, batch
        given = {"BATCHGATE_URL": app.url, "LANG": "C.UTF-8", "COLUMNS": "100"}
        async with on_terminal("watch", environment=given) as terminal:
            bar = "\x1b[32m━━━━━━━━━━━━\x1b[0m\x1b[31m━━━━━━\x1b[0m\x1b[2m━━━━━━\x1b[0m 3/4 \x1b[31m1 failed"
            await terminal.wait_for(f"first  {bar}")
            await terminal.wait_for(f"second {bar}")
        async with on_terminal("show", batch["id"], environment=given) as terminal:
            assert await terminal.end() == 0
        assert "\x1b[1mStatus" in terminal.text
        assert "\x1b[36min_progress" in terminal.text


async def test_completion_prints_a_script_for_each_shell() -> None:
    for shell in ("bash", "zsh", "fish"):
        script = (await command("completion", shell)).stdout
        assert f"_BATCHGATE_COMPLETE={shell}_complete" in script
    completed = await command(
        environment={"_BATCHGATE_COMPLETE": "bash_complete", "COMP_WORDS": "batchgate comp", "COMP_CWORD": "1"}
    )
    assert completed.stdout == "plain,completion\n"
