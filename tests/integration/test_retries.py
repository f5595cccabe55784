"""An ended batch is retried: a new batch of some of its requests, read from what the gateway has stored of it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from batchgate.settings import ApiKeySettings
from tests.support import openai_batches, unified_batches
from tests.support.choosy_provider import ChoosyProvider, choosy_provider
from tests.support.databases import DATABASES, Database, new_database
from tests.support.running_app import BATCHES, RunningApp, running_app, simulator

TIMEOUT: Final = 120.0  # seconds; only a state that never comes should exceed it
DAY: Final = 24 * 3600.0
IDS: Final = [f"r{number}" for number in range(6)]
BROKEN: Final = {"r1": "invalid_request_error", "r3": "not_found_error", "r4": "invalid_request_error"}


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with new_database(request.param, tmp_path) as database:
        yield database


@pytest.fixture
async def provider() -> AsyncIterator[ChoosyProvider]:
    async with choosy_provider() as provider, asyncio.timeout(TIMEOUT):
        yield provider


def settings(provider: ChoosyProvider, **more: Any) -> dict[str, Any]:
    busy = simulator(rate_limit_rate=1.0, retry_after=60.0)
    accounts = {"a": provider.account(), "o": provider.account("openai"), "busy": busy}
    return {"accounts": accounts, "default_provider": "a", "shutdown_timeout": 0.0} | more


@pytest.fixture
async def app(provider: ChoosyProvider, tmp_path: Path) -> AsyncIterator[RunningApp]:
    async with running_app(tmp_path, **settings(provider)) as app:
        yield app


@pytest.fixture
async def app_on_both(provider: ChoosyProvider, database: Database, tmp_path: Path) -> AsyncIterator[RunningApp]:
    async with running_app(tmp_path, database_url=database.url, **settings(provider)) as app:
        yield app


def params(prompt: str, model: str = "m") -> dict[str, Any]:
    return {"model": model, "max_tokens": 16, "messages": [{"role": "user", "content": prompt}]}


async def create(app: RunningApp, *custom_ids: str, model: str = "m", **options: Any) -> str:
    """Create a batch of Messages whose prompts are their ids."""
    requests = [{"custom_id": custom_id, "params": params(custom_id, model)} for custom_id in custom_ids]
    status, batch = await app.call("POST", BATCHES, json={"requests": requests}, **options)
    assert status == 200, batch
    return str(batch["id"])


async def ended_batch(app: RunningApp, provider: ChoosyProvider, **options: Any) -> str:
    """Run a batch of which some requests fail, and let the provider accept them from then on."""
    provider.refused.update(BROKEN)
    batch_id = await create(app, *IDS, **options)
    await app.ended(batch_id)
    provider.refused.clear()
    provider.calls.clear()
    return batch_id


async def retry(app: RunningApp, batch_id: str, body: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    status, child = await app.call("POST", f"/api/batches/{batch_id}/retry", json=body or {}, **options)
    assert status == 200, child
    assert isinstance(child, dict)
    return child


async def refusal(
    app: RunningApp, batch_id: str, body: dict[str, Any] | None = None, **options: Any
) -> tuple[int, str]:
    status, answer = await app.call("POST", f"/api/batches/{batch_id}/retry", json=body or {}, **options)
    return status, answer["error"]["message"]


async def retried(app: RunningApp, child: dict[str, Any]) -> list[str]:
    """Wait for a new batch, and return the ids of its requests."""
    await app.ended(child["id"])
    return [line["custom_id"] for line in await app.results(child["id"])]


async def stored_batches(app: RunningApp) -> set[str]:
    """Return the batches, and check that each has its input and that there are no other inputs."""
    _, page = await app.call("GET", "/api/batches")
    ids = {batch["id"] for batch in page["data"]}
    assert {path.parent.name for path in (app.data_dir / "blobs").rglob("input*.jsonl")} == ids
    return ids


# ---------------------------------------------------------------- what is retried


async def test_a_retry_is_a_new_batch_of_the_requests_that_did_not_succeed_in_their_order(
    app_on_both: RunningApp, provider: ChoosyProvider
) -> None:
    app = app_on_both
    asked = {"batchgate-name": "nightly", "batchgate-priority": "high", "batchgate-concurrency": "2"}
    parent = await ended_batch(app, provider, headers=asked)
    child = await retry(app, parent)
    assert (child["parent"], child["name"], child["total"], child["account"]) == (parent, "nightly", 3, "a")
    assert child["id"].startswith("msgbatch_")
    assert await retried(app, child) == ["r1", "r3", "r4"]
    assert sorted(prompt for _, prompt in provider.calls) == ["r1", "r3", "r4"]
    _, progress = await app.call("GET", f"/api/batches/{child['id']}/progress")
    assert (progress["parent"], progress["succeeded"], progress["priority"]) == (parent, 3, "high")
    assert progress["concurrency_cap"] == 2
    _, page = await app.call("GET", "/api/batches")
    assert {batch["id"]: batch["parent"] for batch in page["data"]} == {child["id"]: parent, parent: None}


async def test_a_retry_of_a_retry_has_it_as_its_parent(app: RunningApp, provider: ChoosyProvider) -> None:
    parent = await ended_batch(app, provider)
    provider.refused["r3"] = "request_too_large"
    child = await retry(app, parent)
    await app.ended(child["id"])
    grandchild = await retry(app, child["id"])
    assert (grandchild["parent"], await retried(app, grandchild)) == (child["id"], ["r3"])


@pytest.mark.parametrize("from_file", [True, False])
async def test_a_batch_of_openai_is_retried_with_the_classes_of_its_errors_and_read_there(
    app_on_both: RunningApp, provider: ChoosyProvider, from_file: bool
) -> None:
    app = app_on_both
    provider.refused.update(BROKEN)
    lines = [openai_batches.chat_line(custom_id, custom_id, model="o/m") for custom_id in IDS]
    if from_file:
        parent = (await openai_batches.create(app, *lines, metadata={"team": "x"}))["id"]
    else:
        body = {"endpoint": openai_batches.CHAT, "completion_window": "24h", "metadata": {"team": "x"}}
        _, created = await app.call("POST", openai_batches.BATCHES, json=body | {"requests": lines})
        parent = created["id"]
    await openai_batches.wait_for_final_status(app, parent)
    provider.refused.clear()
    child = await retry(app, parent, {"only": ["invalid_request_error"]})
    assert child["id"].startswith("batch_")
    batch = await openai_batches.wait_for_final_status(app, child["id"])
    assert (batch["status"], batch["metadata"], batch["endpoint"]) == ("completed", {"team": "x"}, openai_batches.CHAT)
    assert batch["input_file_id"] == f"file-input-{child['id']}"
    output = await openai_batches.download_lines(app, batch["output_file_id"])
    assert [line["custom_id"] for line in output] == ["r1", "r4"]


async def test_a_batch_of_the_unified_api_is_retried(app: RunningApp, provider: ChoosyProvider) -> None:
    provider.refused["no"] = "request_too_large"
    rows = [*unified_batches.chat_rows("a"), *unified_batches.chat_rows("b", "c", content="no")]
    parent = (await unified_batches.create(app, model="o/m", requests=rows))["id"]
    await unified_batches.wait_for_final_status(app, parent)
    provider.refused.clear()
    child = await retry(app, parent, {"only": ["request_too_large"]})
    assert (child["account"], child["model"]) == ("o", "m")
    await unified_batches.wait_for_final_status(app, child["id"])
    _, progress = await app.call("GET", f"/api/batches/{child['id']}/progress")
    assert (progress["total"], progress["succeeded"]) == (2, 2)


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        ({"only": ["invalid_request_error"]}, ["r1", "r4"]),
        ({"only": ["not_found_error", "expired"]}, ["r3"]),
        ({"only": ["errored"]}, ["r1", "r3", "r4"]),
        ({"custom_ids": ["r4", "r0"]}, ["r0", "r4"]),
        ({"custom_ids": ["r4", "r0", "r3"], "only": ["errored"]}, ["r3", "r4"]),
    ],
)
async def test_requests_are_chosen_by_their_end_and_by_their_ids(
    app: RunningApp, provider: ChoosyProvider, body: dict[str, Any], ids: list[str]
) -> None:
    parent = await ended_batch(app, provider)
    assert await retried(app, await retry(app, parent, body)) == ids


@pytest.mark.parametrize("end", ["canceled", "expired"])
async def test_requests_without_an_answer_are_retried(app: RunningApp, provider: ChoosyProvider, end: str) -> None:
    parent = await create(app, *IDS, headers={"x-model-provider": "busy"})
    if end == "canceled":
        await app.call("POST", f"{BATCHES}/{parent}/cancel")
    app.clock.move(DAY + 1)
    await app.ended(parent)
    other = {"canceled": "expired", "expired": "canceled"}[end]
    assert "ended as" in (await refusal(app, parent, {"only": [other]}))[1]
    child = await retry(app, parent, {"only": [end], "account": "a"})
    assert await retried(app, child) == IDS
    assert len(provider.calls) == len(IDS)


# ---------------------------------------------------------------- what is changed


async def test_a_retry_may_have_another_model_account_and_name(app: RunningApp, provider: ChoosyProvider) -> None:
    parent = await ended_batch(app, provider, model="a/m")
    child = await retry(app, parent, {"model": "better", "account": "o", "name": "again"})
    assert (child["model"], child["account"], child["name"]) == ("better", "o", "again")
    assert await retried(app, child) == ["r1", "r3", "r4"]
    assert {model for model, _ in provider.calls} == {"better"}


async def test_another_account_gets_requests_whose_models_name_the_old_one(
    app: RunningApp, provider: ChoosyProvider
) -> None:
    parent = await ended_batch(app, provider, model="a/m")
    child = await retry(app, parent, {"account": "o"})
    _, page = await app.call("GET", "/api/batches", params={"account": "o"})
    assert [batch["id"] for batch in page["data"]] == [child["id"]]
    await app.ended(child["id"])
    assert {model for model, _ in provider.calls} == {"m"}


async def test_a_model_or_an_account_that_nobody_has_is_refused(app: RunningApp, provider: ChoosyProvider) -> None:
    parent = await ended_batch(app, provider)
    status, message = await refusal(app, parent, {"model": "nobody/m"})
    assert (status, message.startswith("model: no account is called 'nobody'")) == (400, True)
    status, message = await refusal(app, parent, {"account": "nobody"})
    assert (status, message) == (
        400,
        "account: 'nobody' is not configured; configured: a, o, busy, anthropic, openai, simulator",
    )
    assert await stored_batches(app) == {parent}


# ---------------------------------------------------------------- refusals


async def test_a_retry_of_nothing_is_refused_and_stores_nothing(app: RunningApp, provider: ChoosyProvider) -> None:
    parent = await ended_batch(app, provider)
    status, message = await refusal(app, parent, {"only": ["timeout_error", "expired"]})
    expected = f"Batch '{parent}' has nothing to retry: none of its requests ended as timeout_error or expired."
    assert (status, message) == (400, expected)
    status, message = await refusal(app, parent, {"custom_ids": ["r0", "x", "y"]})
    assert (status, message) == (400, f"custom_ids: batch '{parent}' has no request 'x', 'y'")
    child = await retry(app, parent)
    await app.ended(child["id"])
    status, message = await refusal(app, child["id"])
    assert (status, message) == (400, f"Batch '{child['id']}' has nothing to retry: all its requests succeeded.")
    assert await stored_batches(app) == {parent, child["id"]}


async def test_a_batch_that_has_not_ended_failed_or_lost_its_files_is_not_retried(
    app: RunningApp, provider: ChoosyProvider
) -> None:
    running = await create(app, "a", headers={"x-model-provider": "busy"})
    status, message = await refusal(app, running)
    assert (status, message) == (400, f"Batch '{running}' is in_progress; it can be retried once it has ended.")
    failed = (await openai_batches.create(app, {"custom_id": "a"}))["id"]
    await openai_batches.wait_for_final_status(app, failed)
    status, message = await refusal(app, failed)
    assert (status, message.partition("; ")[2]) == (400, "submit another file.")
    archived = await ended_batch(app, provider)
    app.clock.move(30 * DAY)
    while (await app.call("GET", f"{BATCHES}/{archived}"))[1]["archived_at"] is None:
        pass
    status, message = await refusal(app, archived)
    assert (status, "its files were deleted or have expired" in message) == (404, True)


async def test_a_changed_prompt_is_not_sent_again(app: RunningApp, provider: ChoosyProvider) -> None:
    parent = await ended_batch(app, provider)
    (path,) = (app.data_dir / "blobs").rglob("input*.jsonl")
    written = path.read_bytes()
    path.write_bytes(written.replace(b'"content": "r4"', b'"content": "r5"'))
    assert path.read_bytes() != written
    status, message = await refusal(app, parent)
    assert (status, "are damaged" in message) == (500, True)
    assert await stored_batches(app) == {parent}
    assert provider.calls == []


async def test_a_batch_of_an_earlier_version_is_retried_without_the_hash_of_its_input(
    app: RunningApp, provider: ChoosyProvider
) -> None:
    parent = await ended_batch(app, provider)
    with sqlite3.connect(app.data_dir / "batchgate.db") as connection:
        connection.execute("UPDATE batches SET input_hash = NULL")
    assert await retried(app, await retry(app, parent)) == ["r1", "r3", "r4"]


# ---------------------------------------------------------------- as any create


async def test_a_retry_with_the_same_key_is_the_same_batch_even_if_its_parent_is_archived(
    app_on_both: RunningApp, provider: ChoosyProvider
) -> None:
    app, key = app_on_both, {"headers": {"Idempotency-Key": "k"}}
    parent = await ended_batch(app, provider)
    children = await asyncio.gather(*(retry(app, parent, **key) for _ in range(5)))
    assert len({child["id"] for child in children}) == 1
    assert await retried(app, children[0]) == ["r1", "r3", "r4"]
    status, message = await refusal(app, parent, {"only": ["errored"]}, **key)
    assert (status, message.startswith(f"Idempotency-Key: 'k' belongs to {children[0]['id']}")) == (422, True)
    assert await stored_batches(app) == {parent, children[0]["id"]}
    app.clock.move(30 * DAY)
    while (await app.call("GET", f"{BATCHES}/{parent}"))[1]["archived_at"] is None:
        pass
    assert (await retry(app, parent, **key))["id"] == children[0]["id"]


async def test_quotas_and_scopes_apply_as_for_any_create(provider: ChoosyProvider, tmp_path: Path) -> None:
    keys = {
        "admin": ApiKeySettings(key="sk-admin-0123456789", scopes=("admin", "submit", "read")),
        "reader": ApiKeySettings(key="sk-reader-012345678", scopes=("read",)),
    }
    async with running_app(tmp_path, **settings(provider, api_keys=keys)) as app:
        app.client.headers["x-api-key"] = "sk-admin-0123456789"
        parent = await ended_batch(app, provider)
        status, _ = await refusal(app, parent, headers={"x-api-key": "sk-reader-012345678"})
        assert status == 403
        _, answer = await app.call("PATCH", "/api/workspaces/default", json={"quotas": {"queued_requests": 2}})
        assert answer["quotas"]["queued_requests"] == 2, answer
        status, message = await refusal(app, parent)
        assert (status, "at its quota of" in message) == (429, True)
        assert await stored_batches(app) == {parent}
