"""Pages of requests beside their results, of running and ended batches in every dialect."""

import asyncio
import json
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import web

from batchgate.account_settings import AccountSettings
from batchgate.blobs.folder import FolderBlobs
from batchgate.engine.results import row_pages
from batchgate.settings import ApiKeySettings
from tests.support import openai_batches, unified_batches
from tests.support.databases import DATABASES, Database, new_database
from tests.support.held_provider import ANSWER, held_provider
from tests.support.http_server import http_server
from tests.support.running_app import BATCHES, RunningApp, create_body, params, running_app, simulator

Row = dict[str, Any]
TIMEOUT = 120.0  # seconds; only a state that never comes should exceed it


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with new_database(request.param, tmp_path) as database:
        yield database


@pytest.fixture
async def app(database: Database, tmp_path: Path) -> AsyncIterator[RunningApp]:
    accounts = {"openai": simulator(latency_by_model={"slow": 60.0})}
    async with running_app(tmp_path, accounts=accounts, shutdown_timeout=0.0, database_url=database.url) as running:
        yield running


async def page(app: RunningApp, batch_id: str, query: str = "") -> dict[str, Any]:
    status, found = await app.call("GET", f"/api/batches/{batch_id}/rows?{query}")
    assert status == 200, found
    assert isinstance(found, dict)
    return found


async def all_rows(app: RunningApp, batch_id: str, query: str = "limit=500", after: str = "") -> list[Row]:
    """Read all pages."""
    rows = list[Row]()
    while True:
        found = await page(app, batch_id, query + after)
        rows += found["data"]
        if found["next"] is None:
            return rows
        after = f"&after={found['next']}"


def asking(**prompts: str) -> dict[str, Any]:
    """Make the body of a create with a request for each prompt, by custom_id."""
    asked = {name: [{"role": "user", "content": text}] for name, text in prompts.items()}
    return {"requests": [{"custom_id": name, "params": params() | {"messages": text}} for name, text in asked.items()]}


async def ended_batch(app: RunningApp, body: dict[str, Any]) -> str:
    status, batch = await app.call("POST", BATCHES, json=body)
    assert status == 200, batch
    await app.ended(batch["id"])
    return str(batch["id"])


async def test_pages_of_any_size_have_each_request_once_beside_its_result(app: RunningApp) -> None:
    batch_id = await ended_batch(app, asking(**{f"row-{n}": f"number {n}" for n in range(1200)}))
    for limit in (7, 500):
        rows = await all_rows(app, batch_id, f"limit={limit}")
        assert [row["number"] for row in rows] == list(range(1, 1201))
        for number, row in enumerate(rows):
            assert row["custom_id"] == row["request"]["custom_id"] == row["result"]["custom_id"] == f"row-{number}"
            assert row["result"]["result"]["message"]["content"][0]["text"] == f"You said: number {number}"
            assert (row["outcome"], row["failure"], row["is_cut"]) == ("succeeded", None, False)
    first = await page(app, batch_id)
    assert (first["total"], first["dialect"], len(first["data"])) == (1200, "anthropic", 50)


async def test_a_running_batch_shows_the_results_that_it_has(app: RunningApp) -> None:
    body = {"requests": [*create_body("a")["requests"], *create_body("b", model="slow")["requests"]]}
    body["requests"] += create_body("c")["requests"]
    _, batch = await app.call("POST", BATCHES, json=body)
    async with asyncio.timeout(10):
        while len(rows := await all_rows(app, batch["id"], "outcome=succeeded")) < 2:
            pass
    assert [row["custom_id"] for row in rows] == ["a", "c"]
    rows = await all_rows(app, batch["id"], "limit=1")
    assert [row["outcome"] for row in rows] == ["succeeded", "pending", "succeeded"]
    assert ["result" in row for row in rows] == [True, False, True]
    assert [row["custom_id"] for row in await all_rows(app, batch["id"], "outcome=pending")] == ["b"]


async def test_a_cursor_goes_on_when_the_batch_has_ended_meanwhile(database: Database, tmp_path: Path) -> None:
    async with held_provider() as provider:
        accounts = {"simulator": provider.account(16)}
        async with running_app(tmp_path, accounts=accounts, database_url=database.url) as app:
            batch = await app.create(*(f"r{n}" for n in range(600)))
            await provider.until_called(16)
            first = await page(app, batch["id"], "limit=490")
            assert {row["outcome"] for row in first["data"]} == {"pending"}
            provider.answering.set()
            await app.ended(batch["id"])
            rest = await all_rows(app, batch["id"], "limit=50", f"&after={first['next']}")
            assert [row["custom_id"] for row in rest] == [f"r{n}" for n in range(len(first["data"]), 600)]
            assert {row["outcome"] for row in rest} == {"succeeded"}


async def test_requests_that_were_not_sent_are_canceled(database: Database, tmp_path: Path) -> None:
    async with held_provider() as provider:
        accounts = {"openai": provider.account(1)}
        async with running_app(tmp_path, accounts=accounts, database_url=database.url) as app:
            batch = await app.create("a", "b", "c")
            await provider.until_called(1)
            status, canceling = await app.call("POST", f"/api/batches/{batch['id']}/cancel")
            assert (status, canceling["status"]) == (200, "canceling")
            provider.answering.set()
            await app.ended(batch["id"])
            rows = await all_rows(app, batch["id"], "limit=2")
            assert [row["outcome"] for row in rows] == ["succeeded", "canceled", "canceled"]
            assert len(await all_rows(app, batch["id"], "outcome=failed")) == 2


@pytest.mark.parametrize("surface", ["openai", "unified"])
async def test_rows_are_in_the_dialect_of_their_batch(app: RunningApp, surface: str) -> None:
    if surface == "openai":
        batch = await openai_batches.create(app, openai_batches.chat_line("a"), openai_batches.chat_line("b", 1))
        await openai_batches.wait_for_final_status(app, batch["id"])
    else:
        batch = await unified_batches.create(app, requests=unified_batches.chat_rows("a", "b"))
        await unified_batches.wait_for_final_status(app, batch["id"])
    found = await page(app, batch["id"])
    assert found["dialect"] == "openai"
    assert [row["custom_id"] for row in found["data"]] == ["a", "b"]
    assert all("body" in row["request"] and "response" in row["result"] for row in found["data"])


async def test_rows_are_found_by_their_outcome_and_the_reason(app: RunningApp) -> None:
    body = create_body("good", "fine")
    body["requests"].insert(1, {"custom_id": "bad", "params": {"model": "nosuch/m", "max_tokens": 1, "messages": []}})
    batch_id = await ended_batch(app, body)
    for outcome in ("errored", "failed"):
        (bad,) = await all_rows(app, batch_id, f"outcome={outcome}")
        assert (bad["custom_id"], bad["failure"]) == ("bad", "not_found_error")
    assert [row["custom_id"] for row in await all_rows(app, batch_id, "outcome=succeeded&limit=1")] == [
        "good",
        "fine",
    ]
    assert not await all_rows(app, batch_id, "outcome=expired")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ZEBRA", ["animal"]),
        ('you said: a "quoted"', ["quote"]),
        ("line\nbreak", ["break"]),
        ("ÉTÉ", ["season"]),
        ("animal", ["animal"]),
        ("messages", []),
        ("content", []),
    ],
)
async def test_a_search_looks_into_the_texts_of_requests_and_results(
    app: RunningApp, text: str, found: list[str]
) -> None:
    prompts = {"animal": "a zebra", "quote": 'a "quoted" word', "break": "line\nbreak", "season": "l'été"}
    batch_id = await ended_batch(app, asking(**prompts))
    rows = await all_rows(app, batch_id, f"q={quote(text)}")
    assert [row["custom_id"] for row in rows] == found


async def test_a_search_finds_what_json_writes_in_other_ways(database: Database, tmp_path: Path) -> None:
    answer = r"don\u0027t R\u0026D \u003Cb\u003e http:\/\/ Stra\u00dfe Fuß"
    body = json.dumps(ANSWER).replace("Hi", answer)
    async with http_server(partial(answering, body)) as url:
        accounts = {"simulator": AccountSettings(provider="anthropic", base_url=url, api_key="k")}
        async with running_app(tmp_path, accounts=accounts, database_url=database.url) as app:
            batch_id = await ended_batch(app, create_body("a"))
            for text in ("DON'T", "r&d", "<b>", "http://", "strasse", "fuss", "Straße"):
                assert len(await all_rows(app, batch_id, f"q={quote(text)}")) == 1, text
            assert not await all_rows(app, batch_id, "q=u0027")


async def answering(body: str, _: web.Request) -> web.Response:
    return web.Response(text=body, content_type="application/json")


@pytest.mark.parametrize("ends", [True, False], ids=["ended", "running"])
async def test_a_page_reads_no_more_than_it_needs_of_large_results(
    database: Database, tmp_path: Path, ends: bool
) -> None:
    accounts = {"simulator": simulator(output_tokens=100_000, latency_by_model={"slow": 60.0})}
    async with running_app(tmp_path, accounts=accounts, shutdown_timeout=0.0, database_url=database.url) as app:
        requests = [{"custom_id": f"r{n}", "params": params() | {"max_tokens": 100_000}} for n in range(60)]
        if not ends:
            requests += create_body("slow", model="slow")["requests"]
        batch_id = (await app.call("POST", BATCHES, json={"requests": requests}))[1]["id"]
        async with asyncio.timeout(30):
            while (await app.call("GET", f"/api/batches/{batch_id}/progress"))[1]["succeeded"] < 60:
                pass
        if ends:
            await app.ended(batch_id)
        tracemalloc.start()
        try:
            first = await page(app, batch_id, "limit=1")
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert first["data"][0]["outcome"] == "succeeded"
        assert peak < 10_000_000  # all results have 24 MB
        rows = await all_rows(app, batch_id, "limit=500")
        assert [row["custom_id"] for row in rows] == [row["custom_id"] for row in requests]
        assert [row["outcome"] for row in rows] == ["succeeded"] * 60 + ["pending"] * (not ends)


async def test_results_are_paired_when_requests_between_have_none(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_pages, "BLOCK_SIZE", 1)
    body = create_body("a", "b", "c")
    body["requests"][2:2] = create_body("bad", "worse", model="nosuch/m")["requests"]
    async with held_provider() as provider:
        accounts = {"openai": provider.account(1)}
        async with running_app(tmp_path, accounts=accounts, database_url=database.url) as app:
            _, batch = await app.call("POST", BATCHES, json=body)
            async with asyncio.timeout(10):
                while len(await all_rows(app, batch["id"], "outcome=errored")) < 2:
                    pass
            expected = ["pending", "pending", "errored", "errored", "pending"]
            assert [row["outcome"] for row in await all_rows(app, batch["id"])] == expected
            await app.call("POST", f"/api/batches/{batch['id']}/cancel")
            provider.answering.set()
            await app.ended(batch["id"])
            for limit in (1, 500):
                rows = await all_rows(app, batch["id"], f"limit={limit}")
                assert [row["custom_id"] for row in rows] == ["a", "b", "bad", "worse", "c"]
                assert [row["outcome"] for row in rows] == ["succeeded", "canceled", "errored", "errored", "canceled"]


async def test_a_search_that_finds_little_ends_early_and_goes_on(
    app: RunningApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_pages, "MAX_READ", 20_000)
    batch_id = await ended_batch(app, asking(**{f"r{n}": "needle" if n == 1100 else "hay" for n in range(1200)}))
    first = await page(app, batch_id, "q=needle")
    assert not first["data"]
    assert first["next"] is not None
    assert [row["number"] for row in await all_rows(app, batch_id, "q=needle")] == [1101]


async def test_long_texts_are_cut_unless_all_of_them_is_asked_for(app: RunningApp) -> None:
    batch_id = await ended_batch(app, asking(long="x" * 10_000, short="y"))
    long, short = await all_rows(app, batch_id)
    assert long["request"]["params"]["messages"][0]["content"] == "x" * 4000
    assert (long["is_cut"], short["is_cut"]) == (True, False)
    whole, _ = await all_rows(app, batch_id, "max_text=100000")
    assert whole["request"]["params"]["messages"][0]["content"] == "x" * 10_000
    assert not whole["is_cut"]


async def test_requests_may_be_nested_deeply(app: RunningApp) -> None:
    metadata: dict[str, Any] = {"deep": "z" * 5000}
    for _ in range(300):
        metadata = {"in": [metadata]}
    body = create_body("a")
    body["requests"][0]["params"]["messages"][0]["content"] = [{"type": "text", "text": "x", "more": metadata}]
    batch_id = await ended_batch(app, body)
    (row,) = await all_rows(app, batch_id, "q=zzz")
    assert row["is_cut"]
    assert "z" * 4000 in json.dumps(row["request"])


@pytest.mark.parametrize("cursor", ["x", "1", "1.2.3", "1.-2.3.1", "1.5.5.1", "1.99999999999999999999.1.1", "0.7.7.0"])
async def test_a_cursor_that_is_none_is_refused(app: RunningApp, cursor: str) -> None:
    batch_id = await ended_batch(app, create_body("a", "b"))
    status, error = await app.call("GET", f"/api/batches/{batch_id}/rows?after={cursor}")
    assert status == 400, error
    assert "after: " in error["error"]["message"]


async def test_a_batch_whose_file_is_not_validated_has_no_rows(app: RunningApp) -> None:
    failed = await openai_batches.create(app, {"custom_id": "a"})
    await openai_batches.wait_for_final_status(app, failed["id"])
    assert await page(app, failed["id"]) == {
        "id": failed["id"],
        "dialect": "openai",
        "total": 0,
        "data": [],
        "next": None,
    }


async def test_a_batch_that_is_deleted_by_any_api_has_no_rows(app: RunningApp) -> None:
    created = await openai_batches.create(app, openai_batches.chat_line("a"))
    await openai_batches.wait_for_final_status(app, created["id"])
    status, deleted = await app.call("DELETE", f"/api/batches/{created['id']}")
    assert (status, deleted) == (200, {"id": created["id"], "deleted": True})
    for path in (f"/api/batches/{created['id']}/rows", f"/openai/v1/batches/{created['id']}"):
        assert (await app.call("GET", path))[0] == 404


async def test_slow_pages_of_one_workspace_make_no_other_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {name: ApiKeySettings(key=f"key-of-{name}-0123456789", workspace=name) for name in ("slow", "quick")}
    headers = {name: {"x-api-key": str(key.key)} for name, key in keys.items()}
    stream, held, proceed = FolderBlobs.stream, asyncio.Semaphore(0), asyncio.Event()

    async with running_app(tmp_path, api_keys=keys) as app, asyncio.timeout(TIMEOUT):
        ids = {name: (await app.create("a", headers=headers[name]))["id"] for name in keys}

        async def held_stream(blobs: FolderBlobs, name: str, *rest: Any, **options: Any) -> AsyncIterator[bytes]:
            if ids["slow"] in name:
                held.release()
                await proceed.wait()
            async for piece in stream(blobs, name, *rest, **options):
                yield piece

        async def rows(name: str) -> list[Row]:
            path = f"/api/batches/{ids[name]}/rows"
            return list((await app.call("GET", path, headers=headers[name]))[1]["data"])

        for name in keys:
            path = f"/api/batches/{ids[name]}/progress"
            while (await app.call("GET", path, headers=headers[name]))[1]["status"] != "ended":
                pass
        monkeypatch.setattr(FolderBlobs, "stream", held_stream)
        slow = [asyncio.create_task(rows("slow")) for _ in range(2 * row_pages.AT_ONCE)]
        for _ in range(row_pages.AT_ONCE_OF_ONE):
            await held.acquire()
        assert [row["custom_id"] for row in await rows("quick")] == ["a"]
        assert not any(task.done() for task in slow)
        proceed.set()
        assert [len(found) for found in await asyncio.gather(*slow)] == [1] * len(slow)
