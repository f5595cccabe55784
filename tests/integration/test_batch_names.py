"""A batch has a name and metadata: given on each API, shown in the progress, and found by the list."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.support import openai_batches
from tests.support.running_app import BATCHES, RunningApp, create_body, running_app, simulator

NAME = {"batchgate-name": "nightly, 2nd try"}


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[RunningApp]:
    busy = simulator(rate_limit_rate=1.0, retry_after=60.0)
    accounts = {"quick": simulator(), "busy": busy}
    async with running_app(tmp_path, accounts=accounts, default_provider="quick", shutdown_timeout=0.0) as running:
        yield running


async def listed(app: RunningApp, **query: str) -> list[dict[str, Any]]:
    status, page = await app.call("GET", "/api/batches", params=query)
    assert status == 200, page
    data = page["data"]
    assert isinstance(data, list)
    return data


async def create_unified(app: RunningApp, **fields: Any) -> tuple[int, Any]:
    requests = [{"custom_id": "a", "body": {"messages": [{"role": "user", "content": "Hello"}]}}]
    return await app.call("POST", "/v1/batches", json={"requests": requests, "model": "quick/m", **fields})


async def test_a_name_is_given_by_a_header_or_by_a_field_and_shown_on_every_own_api(app: RunningApp) -> None:
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", "messages": []}}
    by_messages = (await app.create("a", headers=NAME))["id"]
    body = openai_batches.create_body(await openai_batches.upload_lines(app, openai_batches.jsonl(line)))
    by_openai = (await app.call("POST", openai_batches.BATCHES, json=body, headers=NAME))[1]["id"]
    status, unified = await create_unified(app, name=NAME["batchgate-name"])
    assert status == 200, unified
    unnamed = (await app.create("a"))["id"]
    ids = [by_messages, by_openai, unified["id"]]
    assert unified["name"] == NAME["batchgate-name"]
    for batch_id in ids:
        _, progress = await app.call("GET", f"/api/batches/{batch_id}/progress")
        assert progress["name"] == NAME["batchgate-name"]
        _, batch = await app.call("GET", f"/v1/batches/{batch_id}")
        assert batch["name"] == NAME["batchgate-name"]
    _, progress = await app.call("GET", f"/api/batches/{unnamed}/progress")
    assert progress["name"] is None
    assert "name" not in (await app.call("GET", f"/v1/batches/{unnamed}"))[1]
    assert {batch["id"] for batch in await listed(app, name=NAME["batchgate-name"])} == set(ids)


@pytest.mark.parametrize("name", ["", "x" * 129, "a\nb", "a\n", "\x85", "\u202e"])
async def test_a_name_that_is_too_long_or_has_control_characters_is_refused(app: RunningApp, name: str) -> None:
    status, answer = await create_unified(app, name=name)
    assert status == 400
    assert answer["error"]["param"] == "name"
    assert await listed(app) == []


async def test_a_name_may_be_null(app: RunningApp) -> None:
    status, batch = await create_unified(app, name=None)
    assert status == 200, batch
    assert "name" not in batch


async def test_a_repeated_create_with_another_name_is_another_create(app: RunningApp) -> None:
    headers = {"Idempotency-Key": "k"}
    first = await app.create("a", headers=headers | NAME)
    assert (await app.create("a", headers=headers | NAME))["id"] == first["id"]
    status, _ = await app.call("POST", BATCHES, json=create_body("a"), headers=headers)
    assert status == 422


async def test_the_list_has_counts_as_results_arrive_and_why_a_batch_waits(app: RunningApp) -> None:
    body = create_body("a", "b")
    body["requests"] += create_body("c", model="busy/m")["requests"]
    _, batch = await app.call("POST", BATCHES, json=body)
    while (await listed(app))[0]["succeeded"] < 2:
        continue
    [summary] = await listed(app, status="in_progress", account="busy")
    assert summary["id"] == batch["id"]
    assert (summary["total"], summary["errored"], summary["ended_at"]) == (3, 0, None)
    assert (summary["account"], summary["model"], summary["name"]) == ("quick", None, None)
    assert summary["created_at"] == batch["created_at"]
    await app.call("POST", f"{BATCHES}/{batch['id']}/cancel")
    await app.ended(batch["id"])
    [ended] = await listed(app, status="ended")
    assert (ended["succeeded"], ended["canceled"]) == (2, 1)
    assert ended["ended_at"] is not None


async def test_pages_go_through_all_batches_that_match(app: RunningApp) -> None:
    ids = []
    for number in range(5):
        app.clock.move(1)
        ids.append((await app.create("a", headers=NAME if number % 2 else {}))["id"])
    seen: list[str] = []
    page: dict[str, Any] = {"next": None}
    while not seen or page["next"] is not None:
        query = {"limit": "2"} | ({} if page["next"] is None else {"after": page["next"]})
        _, page = await app.call("GET", "/api/batches", params=query)
        seen += [batch["id"] for batch in page["data"]]
    assert seen == ids[::-1]
    assert [batch["id"] for batch in await listed(app, name=NAME["batchgate-name"], limit="9")] == [ids[3], ids[1]]
    moment = (await listed(app, limit="1"))[0]["created_at"]
    assert [batch["id"] for batch in await listed(app, created_after=moment)] == [ids[4]]
    assert [batch["id"] for batch in await listed(app, created_before=moment)] == ids[3::-1]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"created_after": "2026-10-21"}, "created_after"),
        ({"created_before": "1760000000.5"}, "created_before"),
        ({"created_before": "2026-10-21T07:28:00"}, "created_before"),
        ({"status": "completed"}, "status"),
        ({"limit": "0"}, "limit"),
        ({"after": "msgbatch_unknown"}, "after"),
        ({"name": ""}, "name"),
    ],
)
async def test_a_wrong_filter_is_refused_by_its_name(app: RunningApp, query: dict[str, str], param: str) -> None:
    status, answer = await app.call("GET", "/api/batches", params=query)
    assert status == 400
    assert answer["error"]["message"].startswith(f"{param}: ")


async def test_metadata_is_given_on_every_api_and_found_by_its_pairs(app: RunningApp) -> None:
    pairs = {"team": "search & rank", "größe": "7"}
    form = urlencode(pairs)
    by_messages = (await app.create("a", headers={"batchgate-metadata": form}))["id"]
    line = openai_batches.chat_line("a")
    body = openai_batches.create_body(
        await openai_batches.upload_lines(app, openai_batches.jsonl(line)), metadata=pairs
    )
    by_openai = (await app.call("POST", openai_batches.BATCHES, json=body))[1]["id"]
    by_unified = (await create_unified(app, metadata=pairs | {"run": "1"}))[1]["id"]
    await app.create("a")
    _, progress = await app.call("GET", f"/api/batches/{by_messages}/progress")
    assert progress["metadata"] == pairs
    assert [batch["id"] for batch in await listed(app, metadata=form)] == [by_unified, by_openai, by_messages]
    assert [batch["metadata"] for batch in await listed(app, metadata="run=1")] == [pairs | {"run": "1"}]
    assert await listed(app, metadata="team=search") == []
    assert [batch["metadata"] for batch in await listed(app)].count(None) == 1


@pytest.mark.parametrize(
    "form",
    [
        "team",
        "a=1&a=2",
        "a=%00",
        "a=%ff",
        f"{'k' * 65}=1",
        "a=" + "v" * 513,
        "&".join("a" * n + "=" for n in range(1, 18)),
    ],
)
async def test_metadata_that_is_no_form_of_valid_pairs_is_refused_by_name(app: RunningApp, form: str) -> None:
    status, answer = await app.call("GET", "/api/batches", params={"metadata": form})
    assert (status, answer["error"]["message"][:10]) == (400, "metadata: "), answer
    headers = {"batchgate-metadata": form}
    status, answer = await app.call("POST", BATCHES, json=create_body("a"), headers=headers)
    assert (status, answer["error"]["type"]) == (400, "invalid_request_error"), answer
    assert "metadata: " in answer["error"]["message"]
    assert await listed(app) == []
