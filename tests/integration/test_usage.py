"""Usage over time: the rows of all batches add up exactly, however they are grouped, and each key sees its own."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from aiohttp import web
from msgspec import structs

from batchgate.account_settings import AccountSettings, PriceSettings
from batchgate.engine.model.api_key import SCOPES
from batchgate.settings import ApiKeySettings
from tests.support.command import PROGRAM
from tests.support.databases import DATABASES, Database, new_database
from tests.support.gateway_process import clean_environment
from tests.support.http_server import http_server
from tests.support.running_app import BATCHES, RunningApp, create_body, params, running_app, simulator

USAGE: Final = "/api/usage"
DAY: Final = 86_400
PRICES: Final = {"cheap": (1_000_037, 3_000_017), "dear": (7_000_039, 21_000_011)}
"""Nano-dollars for a million tokens of input and output; most rows cost a fraction of one, which is rounded up."""
KEYS: Final = {"ci": "red", "nightly": "red", "solo": "blue"}
"""The keys of callers, and their workspaces."""

Groups = dict[tuple[str | None, ...], Counter[str]]


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with new_database(request.param, tmp_path) as database:
        yield database


def priced(account: str) -> AccountSettings:
    """Return an account whose model fails some calls, so that they are repeated."""
    usual, output = (price / 1e9 for price in PRICES[account])
    faulty = simulator(error_rate=0.1, rate_limit_rate=0.1, retry_after=0.01, seed=3)
    return structs.replace(faulty, prices={"m": PriceSettings(input=usual, output=output)})


@pytest.fixture
async def app(database: Database, tmp_path: Path) -> AsyncIterator[RunningApp]:
    keys = {name: ApiKeySettings(key=f"sk-{name}", workspace=workspace) for name, workspace in KEYS.items()}
    keys["root"] = ApiKeySettings(key="sk-root", scopes=SCOPES)
    accounts = {account: priced(account) for account in PRICES}
    async with running_app(
        tmp_path, accounts=accounts, api_keys=keys, default_provider="cheap", database_url=database.url
    ) as running:
        yield running


def key(name: str) -> dict[str, str]:
    return {"x-api-key": f"sk-{name}"}


async def run(app: RunningApp, name: str, rows: Mapping[str, str]) -> tuple[str, Groups]:
    """Run requests for models, given by custom_id; return the batch, and its usage by account and model."""
    requests = [
        {"custom_id": custom_id, "params": params(model) | ({"max_tokens": 0} if "bad" in custom_id else {})}
        for custom_id, model in rows.items()
    ]
    app.client.headers.update(key(name))
    status, batch = await app.call("POST", BATCHES, json={"requests": requests})
    assert status == 200, batch
    await app.ended(batch["id"])
    used: Groups = {}
    for line in await app.results(batch["id"]):
        account, _, model = rows[line["custom_id"]].partition("/")
        used.setdefault((account, model), Counter()).update(amounts_of(account, line["result"]))
    return batch["id"], used


def amounts_of(account: str, result: Any) -> dict[str, int]:
    """Return what a row counts for."""
    if result["type"] == "errored":
        return {"errored": 1}
    usage = result["message"]["usage"]
    usual, output = PRICES[account]
    cost = Fraction(usage["input_tokens"] * usual + usage["output_tokens"] * output, 1_000_000)
    return {"succeeded": 1, "input": usage["input_tokens"], "output": usage["output_tokens"], "nano": ceil(cost)}


def shown(group: Mapping[str, Any]) -> Counter[str]:
    """Return the amounts of a group of a report."""
    counts = {name: group[name] for name in ("succeeded", "errored", "unpriced", "paid_twice")}
    tokens = {name: group["tokens"][name] for name in ("input", "output")}
    return +Counter(counts | tokens | {"nano": round(group["cost_usd"] * 1e9)})


async def report(app: RunningApp, name: str, *by: str, **asked: str) -> tuple[Groups, Counter[str]]:
    """Read usage in groups, with its total."""
    query = asked | ({"by": ",".join(by)} if by else {})
    status, answer = await app.call("GET", USAGE, params=query, headers=key(name))
    assert status == 200, answer
    groups = {tuple(group[dimension] for dimension in by): shown(group) for group in answer["data"]}
    return groups, shown(answer["total"])


def total(groups: Groups) -> Counter[str]:
    return sum(groups.values(), Counter())


MIXED: Final = {f"r{number}": ("cheap/m", "dear/m")[number % 2] for number in range(60)} | {"bad": "dear/m"}


async def test_costs_of_rows_add_up_exactly_to_batches_keys_workspaces_and_days(app: RunningApp) -> None:
    first, ci = await run(app, "ci", MIXED)
    app.clock.move(DAY)
    _, nightly = await run(app, "nightly", {"a": "cheap/m", "bad": "cheap/m"})
    second, solo = await run(app, "solo", {f"s{number}": "dear/m" for number in range(9)})
    all_used = total(ci) + total(nightly) + total(solo)
    assert all_used["errored"] >= 2

    groups, everything = await report(app, "root", "key", "account", "model")
    of_keys = {"ci": ci, "nightly": nightly, "solo": solo}
    assert groups == {(name, *called): used for name, rows in of_keys.items() for called, used in rows.items()}
    assert everything == all_used
    assert await report(app, "root", "workspace", "lane") == (
        {("blue", "direct"): total(solo), ("red", "direct"): total(ci) + total(nightly)},
        all_used,
    )
    days, _ = await report(app, "root", "day")
    assert list(days.values()) == [total(ci), total(nightly) + total(solo)]
    (_,), (last,) = days
    assert (await report(app, "root", since=str(last)))[1] == total(nightly) + total(solo)
    assert (await report(app, "root", account="dear", workspace="red"))[1] == ci["dear", "m"]

    for batch_id, name, rows in ((first, "ci", ci), (second, "solo", solo)):
        _, progress = await app.call("GET", f"/api/batches/{batch_id}/progress", headers=key(name))
        assert round(progress["spent"]["direct_usd"] * 1e9) == total(rows)["nano"]
    _, own = await app.call("GET", USAGE, headers=key("ci"))
    month = own["workspace"]["use"]["monthly_spend_usd"]
    assert (own["workspace"]["name"], round(month * 1e9)) == ("red", total(ci)["nano"] + total(nightly)["nano"])

    await app.call("DELETE", f"{BATCHES}/{first}", headers=key("ci"))
    assert (await report(app, "root", "key", "account", "model"))[0] == groups


async def test_a_key_sees_the_usage_of_its_own_workspace_unless_it_has_the_scope_admin(app: RunningApp) -> None:
    _, red = await run(app, "ci", {"a": "cheap/m"})
    await run(app, "solo", {"a": "cheap/m", "b": "cheap/m"})
    assert await report(app, "nightly", "workspace") == ({("red",): total(red)}, total(red))
    assert await report(app, "solo", workspace="blue", key="ci") == ({}, Counter())
    for workspace in ("blue", "no such"):
        status, answer = await app.call("GET", USAGE, params={"workspace": workspace}, headers=key("ci"))
        assert (status, answer["error"]["type"]) == (403, "permission_error")
        assert answer["error"]["message"] == (
            "workspace: the API key sees the usage of its own workspace, 'red'; all others need the scope admin"
        )


async def command(app: RunningApp, *options: str) -> tuple[int, str]:
    """Run ``batchgate usage``; return its exit status and what it printed."""
    environment = clean_environment({"BATCHGATE_URL": app.url, "BATCHGATE_API_KEY": "sk-root"})
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, "usage", *options, env=environment, stdout=pipe, stderr=asyncio.subprocess.STDOUT
    )
    printed, _ = await process.communicate()
    return process.returncode or 0, printed.decode()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_the_command_prints_a_table_with_a_total_or_json(app: RunningApp) -> None:
    _, used = await run(app, "ci", {"a": "cheap/m", "b": "dear/m", "bad": "dear/m"})
    today = datetime.fromtimestamp(app.clock.now() / 1e6, UTC).date().isoformat()
    status, printed = await command(app, "--by", "account,key", "--since", "7d", "--until", today)
    assert status == 0, printed
    table = [line.split() for line in printed.splitlines()]
    assert table[0] == ["ACCOUNT", "KEY", "SUCCEEDED", "ERRORED", "INPUT", "TOKENS", "OUTPUT", "TOKENS", "COST"]
    assert [row[:4] for row in table[1:3]] == [["cheap", "ci", "1", "0"], ["dear", "ci", "1", "1"]]
    assert table[3][:3] == ["TOTAL", "2", "1"]
    assert table[3][-1] == f"${total(used)['nano'] / 1e9:.9f}"
    status, printed = await command(app, "--json", "--until", today, "--model", "m", "--workspace", "red")
    assert msgspec.json.decode(printed)["data"][0]["day"] == today
    for option, message in (("2026-13-01", "since: '2026-13-01' is not a day"), ("9999999999d", "too many days")):
        status, printed = await command(app, "--since", option)
        assert (status != 0, message in printed) == (True, True), printed


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_usage_is_deleted_after_the_days_of_the_setting(database: Database, tmp_path: Path) -> None:
    async with running_app(tmp_path, usage_retention_days=2, database_url=database.url) as app:
        await app.ended((await app.create("a"))["id"])
        app.clock.move(40 * DAY)  # into another month
        await app.ended((await app.create("a"))["id"])
        usage = f"{USAGE}?since=2026-01-01"
        while (await app.call("GET", usage))[1]["total"]["succeeded"] == 2:
            pass
        assert (await app.call("GET", usage))[1]["total"]["succeeded"] == 1


async def test_a_cost_that_the_provider_states_counts_instead_of_the_prices(tmp_path: Path) -> None:
    # As in openrouter.ai/docs/use-cases/usage-accounting.
    usage = {"prompt_tokens": 194, "completion_tokens": 2, "cost": 0.95}
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    completion = {"id": "gen-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(completion | {"usage": usage})

    async with http_server(answer, "/chat/completions") as url:
        prices = {"*": PriceSettings(input=1.0, output=1.0)}
        shared = AccountSettings(provider="openrouter", base_url=url, api_key="k", lane="direct", prices=prices)
        accounts = {"openrouter": shared, "openai": structs.replace(shared, provider="openai")}
        async with running_app(tmp_path, accounts=accounts, default_provider="openai") as app:
            for model, cost in (("openrouter/m", 1.9), ("openai/m", 2 * 196e-6)):
                _, batch = await app.call("POST", BATCHES, json=create_body("a", "b", model=model))
                assert (await app.ended(batch["id"]))["request_counts"]["succeeded"] == 2
                _, progress = await app.call("GET", f"/api/batches/{batch['id']}/progress")
                assert progress["spent"]["direct_usd"] == pytest.approx(cost)


REFUSED: Final = {
    "by=colour": "by: ",
    "by=": "by: ",
    "since=yesterday": "since: 'yesterday' is not a day such as 2026-11-30",
    "until=2026-02-30": "until: '2026-02-30' is not a day such as 2026-11-30",
    "until=2026-11-30T00:00:00Z": "until: '2026-11-30T00:00:00Z' is not a day such as 2026-11-30",
    "since=2026-11-20&until=2026-11-19": "since: it is 2026-11-20, which is after the last day, 2026-11-19",
    "lane=auto": "lane: ",
    "models=m": "models: no such parameter",
}


async def test_a_wrong_question_is_refused_with_the_parameter_that_is_wrong(app: RunningApp) -> None:
    for query, message in REFUSED.items():
        status, answer = await app.call("GET", f"{USAGE}?{query}", headers=key("root"))
        assert (status, answer["error"]["message"][: len(message)]) == (400, message)
    _, answer = await app.call("GET", f"{USAGE}?until=0001-01-02", headers=key("root"))
    assert (answer["since"], answer["until"], answer["data"]) == ("0001-01-01", "0001-01-02", [])
