"""The results of a batch and of its retries are read together, in the order of the batch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from tests.integration.test_retries import IDS, create, ended_batch, retried, retry, settings
from tests.support import openai_batches
from tests.support.choosy_provider import ChoosyProvider, choosy_provider
from tests.support.databases import DATABASES, Database, new_database
from tests.support.running_app import BATCHES, RunningApp, running_app

TIMEOUT: Final = 120.0  # seconds; only a state that never comes should exceed it


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with new_database(request.param, tmp_path) as database:
        yield database


@pytest.fixture
async def provider() -> AsyncIterator[ChoosyProvider]:
    async with choosy_provider() as provider, asyncio.timeout(TIMEOUT):
        yield provider


@pytest.fixture
async def app(provider: ChoosyProvider, database: Database, tmp_path: Path) -> AsyncIterator[RunningApp]:
    async with running_app(tmp_path, database_url=database.url, **settings(provider)) as app:
        yield app


async def merged(app: RunningApp, batch_id: str) -> tuple[str, list[dict[str, Any]]]:
    """Return which retries are merged, and the lines."""
    path = f"{app.url}/api/batches/{batch_id}/results"
    async with app.client.get(path, params={"merged": "true"}) as response:
        assert response.status == 200, await response.text()
        lines = [msgspec.json.decode(line) for line in (await response.read()).splitlines()]
        return response.headers["batchgate-merged"], lines


def texts(lines: list[dict[str, Any]]) -> dict[str, str]:
    """Return the answer of each request, or the class of its error."""
    results = {line["custom_id"]: line["result"] for line in lines}
    return {
        custom_id: result["message"]["content"][0]["text"]
        if result["type"] == "succeeded"
        else result["error"]["error"]["type"]
        for custom_id, result in results.items()
    }


async def test_a_success_of_a_retry_is_in_the_place_of_the_error(app: RunningApp, provider: ChoosyProvider) -> None:
    parent = await ended_batch(app, provider)
    own = texts(await app.results(parent))
    assert await merged(app, parent) == ("0/0", await app.results(parent))
    provider.refused["r3"] = "request_too_large"
    child = await retry(app, parent)
    await app.ended(child["id"])
    answers = texts(await app.results(child["id"]))
    count, lines = await merged(app, parent)
    assert (count, [line["custom_id"] for line in lines]) == ("1/1", IDS)
    assert texts(lines) == own | answers  # the error of r3 is the later one
    provider.refused.clear()
    grandchild = await retry(app, child["id"])
    await app.ended(grandchild["id"])
    count, lines = await merged(app, parent)
    assert (count, texts(lines)) == ("2/2", own | answers | texts(await app.results(grandchild["id"])))
    count, lines = await merged(app, child["id"])
    assert (count, [line["custom_id"] for line in lines]) == ("1/1", ["r1", "r3", "r4"])


async def test_a_later_error_does_not_replace_a_success_but_a_later_success_does(
    app: RunningApp, provider: ChoosyProvider
) -> None:
    parent = await ended_batch(app, provider)
    own = texts(await app.results(parent))
    provider.refused["r0"] = "not_found_error"
    child = await retry(app, parent, {"custom_ids": ["r0", "r5"]})
    await app.ended(child["id"])
    again = texts(await app.results(child["id"]))
    _, lines = await merged(app, parent)
    assert texts(lines) == own | {"r5": again["r5"]}
    assert again["r5"] != own["r5"]


async def test_retries_that_run_or_were_deleted_are_left_out_and_counted(
    app: RunningApp, provider: ChoosyProvider
) -> None:
    parent = await ended_batch(app, provider)
    child = await retry(app, parent, {"only": ["not_found_error"]})
    await app.ended(child["id"])
    grandchild = await retry(app, child["id"], {"custom_ids": ["r3"]})
    await app.ended(grandchild["id"])
    await retry(app, parent, {"account": "busy"})
    answers = texts(await app.results(grandchild["id"]))
    await app.call("DELETE", f"{BATCHES}/{child['id']}")
    count, lines = await merged(app, parent)
    assert (count, texts(lines)["r3"]) == ("1/2", answers["r3"])


async def test_results_of_openai_batches_are_merged_in_their_format(app: RunningApp, provider: ChoosyProvider) -> None:
    provider.refused["r1"] = "not_found_error"
    lines = [openai_batches.chat_line(custom_id, custom_id, model="o/m") for custom_id in ("r0", "r1", "r2")]
    parent = (await openai_batches.create(app, *lines))["id"]
    await openai_batches.wait_for_final_status(app, parent)
    provider.refused.clear()
    child = await retry(app, parent)
    await openai_batches.wait_for_final_status(app, child["id"])
    _, found = await merged(app, parent)
    assert [(line["custom_id"], line["response"]["status_code"]) for line in found] == [
        ("r0", 200),
        ("r1", 200),
        ("r2", 200),
    ]


async def test_large_results_of_many_retries_are_merged_in_pieces(app: RunningApp, provider: ChoosyProvider) -> None:
    ids = [f"r{number}" for number in range(700)]
    provider.refused.update(dict.fromkeys(ids[::3], "invalid_request_error"))
    parent = await create(app, *ids)
    await app.ended(parent)
    provider.refused.clear()
    child = await retry(app, parent)
    assert await retried(app, child) == ids[::3]
    _, lines = await merged(app, parent)
    assert [line["custom_id"] for line in lines] == ids
    assert {line["result"]["type"] for line in lines} == {"succeeded"}


async def test_merged_results_of_a_running_batch_are_refused(app: RunningApp) -> None:
    running = await create(app, "a", headers={"x-model-provider": "busy"})
    status, answer = await app.call("GET", f"/api/batches/{running}/results", params={"merged": "true"})
    assert status == 404
    assert answer["error"]["message"] == f"Batch '{running}' is in_progress; it has results once it has ended."


async def test_more_retries_than_files_that_may_be_open_are_refused(app: RunningApp, provider: ChoosyProvider) -> None:
    parent = await ended_batch(app, provider)
    for _ in range(33):
        await retry(app, parent, {"custom_ids": ["r0"]})
    status, answer = await app.call("GET", f"/api/batches/{parent}/results", params={"merged": "true"})
    assert (status, answer["error"]["message"].partition(";")[0]) == (
        400,
        f"merged: batch '{parent}' has more than 32 retries",
    )
