"""A batch takes over the results of equal requests of an ended one, and sends only the others."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from msgspec import structs

from batchgate.account_settings import PriceSettings
from batchgate.settings import ApiKeySettings
from tests.support import openai_batches, unified_batches
from tests.support.choosy_provider import ChoosyProvider, choosy_provider
from tests.support.databases import DATABASES, Database, new_database
from tests.support.running_app import BATCHES, RunningApp, running_app, simulator

TIMEOUT: Final = 120.0  # seconds; only a state that never comes should exceed it
IDS: Final = [f"r{number}" for number in range(6)]


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with new_database(request.param, tmp_path) as database:
        yield database


@pytest.fixture
async def provider() -> AsyncIterator[ChoosyProvider]:
    async with choosy_provider() as provider, asyncio.timeout(TIMEOUT):
        yield provider


def settings(provider: ChoosyProvider, **more: Any) -> dict[str, Any]:
    accounts = {"a": provider.account(), "b": provider.account(), "o": provider.account("openai")}
    return {"accounts": accounts, "default_provider": "a", "shutdown_timeout": 0.0} | more


@pytest.fixture
async def app(provider: ChoosyProvider, tmp_path: Path) -> AsyncIterator[RunningApp]:
    async with running_app(tmp_path, **settings(provider)) as app:
        yield app


@pytest.fixture
async def app_on_both(provider: ChoosyProvider, database: Database, tmp_path: Path) -> AsyncIterator[RunningApp]:
    async with running_app(tmp_path, database_url=database.url, **settings(provider)) as app:
        yield app


def params(prompt: str, **more: Any) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 16, "messages": [{"role": "user", "content": prompt}]} | more


async def create(app: RunningApp, requests: dict[str, dict[str, Any]], reuse: str | None = None, **headers: str) -> str:
    """Create a batch of requests with these params by their ids."""
    body = {"requests": [{"custom_id": custom_id, "params": each} for custom_id, each in requests.items()]}
    asked = {"content-type": "application/json"} | ({} if reuse is None else {"batchgate-reuse": reuse})
    data = BytesIO(msgspec.json.encode(body))
    status, batch = await app.call("POST", BATCHES, data=data, headers=asked | headers)
    assert status == 200, batch
    return str(batch["id"])


async def ended_batch(app: RunningApp, provider: ChoosyProvider, **headers: str) -> str:
    """Run a batch whose prompts are their ids, and forget the calls."""
    batch_id = await create(app, {custom_id: params(custom_id) for custom_id in IDS}, **headers)
    await app.ended(batch_id)
    provider.calls.clear()
    return batch_id


async def answers(app: RunningApp, batch_id: str) -> dict[str, str]:
    """Wait for the end of a batch, and return the texts of its answers by id."""
    await app.ended(batch_id)
    lines = await app.results(batch_id)
    return {line["custom_id"]: line["result"]["message"]["content"][0]["text"] for line in lines}


async def progress(app: RunningApp, batch_id: str) -> dict[str, Any]:
    _, found = await app.call("GET", f"/api/batches/{batch_id}/progress")
    assert isinstance(found, dict)
    return found


async def refusal(app: RunningApp, reuse: str, path: str = BATCHES, **options: Any) -> tuple[int, str]:
    options.setdefault("json", {"requests": [{"custom_id": "r0", "params": params("r0")}]})
    options["headers"] = options.get("headers", {}) | {"batchgate-reuse": reuse}
    status, answer = await app.call("POST", path, **options)
    return status, answer["error"]["message"]


# ---------------------------------------------------------------- what is reused


async def test_equal_requests_take_over_results_under_their_own_ids_and_the_others_run(
    app_on_both: RunningApp, provider: ChoosyProvider
) -> None:
    app = app_on_both
    provider.refused["r1"] = "invalid_request_error"
    parent = await ended_batch(app, provider)
    provider.refused.clear()
    before = {line["custom_id"]: line["result"] for line in await app.results(parent)}
    turned = dict(reversed(params("r0").items()))
    child = await create(
        app,
        {
            "same-but-spelled-otherwise": turned,
            "r1": params("r1"),
            "warmer": params("r2", temperature=1),
            "r5": params("r5"),
            "other-model": params("r3", model="n"),
            "other-account": params("r4", model="b/m"),
            "same-account": params("r3", model="a/m"),
        },
        reuse=parent,
    )
    found = await answers(app, child)
    assert sorted(provider.calls) == [("m", "r1"), ("m", "r2"), ("m", "r4"), ("n", "r3")]
    results = await app.results(child)
    assert [line["custom_id"] for line in results] == list(found)
    taken = {"same-but-spelled-otherwise": "r0", "r5": "r5", "same-account": "r3"}
    assert {line["custom_id"]: line["result"] for line in results if line["custom_id"] in taken} == {
        custom_id: before[other] for custom_id, other in taken.items()
    }
    shown = await progress(app, child)
    assert (shown["reuses"], shown["reused"], shown["succeeded"], shown["parent"]) == (parent, 3, 7, None)
    assert (shown["tokens"]["input"], sum(part["requests"] for part in shown["lanes"])) == (4, 4)


async def test_a_batch_of_nothing_new_ends_without_a_call_and_can_be_reused_itself(
    app_on_both: RunningApp, provider: ChoosyProvider
) -> None:
    app = app_on_both
    parent = await ended_batch(app, provider)
    requests = {custom_id: params(custom_id) for custom_id in IDS}
    child = await create(app, requests, reuse=parent)
    assert await answers(app, child) == await answers(app, parent)
    await app.call("DELETE", f"{BATCHES}/{parent}")
    grandchild = await create(app, requests | {"new": params("new")}, reuse=child)
    assert (await answers(app, grandchild)).keys() == {*IDS, "new"}
    assert [prompt for _, prompt in provider.calls] == ["new"]
    assert (await progress(app, grandchild))["reused"] == len(IDS)


async def test_equal_requests_take_over_as_many_results_as_there_are_and_the_others_are_sent(
    app: RunningApp, provider: ChoosyProvider
) -> None:
    parent = await create(app, {"x1": params("x"), "x2": params("x")})
    first = await answers(app, parent)
    provider.calls.clear()
    child = await create(app, {f"y{number}": params("x") for number in range(1, 6)}, reuse=parent)
    found = await answers(app, child)
    assert (found["y1"], found["y2"], len(found)) == (first["x1"], first["x2"], 5)
    assert (provider.calls, (await progress(app, child))["reused"]) == ([("m", "x")] * 3, 2)


async def test_headers_that_are_sent_to_the_provider_are_part_of_a_request(
    app: RunningApp, provider: ChoosyProvider
) -> None:
    beta = {"anthropic-beta": "context-1m"}
    parent = await ended_batch(app, provider, **beta)
    requests = {"r0": params("r0")}
    for headers, reused in ((beta, 1), ({}, 0)):
        child = await create(app, requests, reuse=parent, **headers)
        await app.ended(child)
        assert (await progress(app, child))["reused"] == reused


@pytest.mark.parametrize("from_file", [True, False])
async def test_batches_of_openai_reuse_results_and_their_output_file_has_them(
    app_on_both: RunningApp, provider: ChoosyProvider, from_file: bool
) -> None:
    app = app_on_both
    provider.refused["r1"] = "invalid_request_error"
    parent = (await openai_batches.create(app, *[openai_batches.chat_line(name, name) for name in IDS]))["id"]
    done = await openai_batches.wait_for_final_status(app, parent)
    before = await openai_batches.download_lines(app, done["output_file_id"])
    provider.refused.clear()
    provider.calls.clear()
    lines = [openai_batches.chat_line(f"{name} \u2028", name) for name in IDS]
    if from_file:
        file_id = await openai_batches.upload_lines(app, openai_batches.jsonl(*lines))
        body = openai_batches.create_body(file_id)
    else:
        body = {"endpoint": openai_batches.CHAT, "completion_window": "24h", "requests": lines}
    status, created = await app.call("POST", openai_batches.BATCHES, json=body, headers={"batchgate-reuse": parent})
    assert status == 200, created
    done = await openai_batches.wait_for_final_status(app, created["id"])
    after = await openai_batches.download_lines(app, done["output_file_id"])
    assert [prompt for _, prompt in provider.calls] == ["r1"]
    assert [line["custom_id"] for line in after] == [line["custom_id"] for line in lines]
    answered = {line["custom_id"]: line["response"] for line in after}
    assert all(answered[f"{line['custom_id']} \u2028"] == line["response"] for line in before)
    assert not {line["id"] for line in before} & {line["id"] for line in after}


async def test_the_unified_api_has_a_field_for_it(app: RunningApp, provider: ChoosyProvider) -> None:
    parent = await ended_batch(app, provider)
    requests = [{"custom_id": "again", "params": params("r0")}, {"custom_id": "new", "params": params("new")}]
    body = {"model": "a/m", "requests": requests, "reuse": parent}
    status, batch = await app.call("POST", unified_batches.BATCHES, json=body)
    assert status == 200, batch
    assert (await answers(app, batch["id"])).keys() == {"again", "new"}
    assert ((await progress(app, batch["id"]))["reused"], provider.calls) == (1, [("m", "new")])


async def test_what_was_reused_costs_nothing_and_counts_in_no_budget_and_no_lane(
    provider: ChoosyProvider, tmp_path: Path
) -> None:
    price = {"m": PriceSettings(input=1_000_000.0, output=0.0)}  # a dollar for each call
    accounts = {"a": structs.replace(provider.account(), prices=price)}
    async with running_app(tmp_path, **settings(provider, accounts=accounts)) as app:
        parent = await ended_batch(app, provider)
        requests = {custom_id: params(custom_id) for custom_id in [*IDS, "new"]}
        child = await create(app, requests, parent, **{"batchgate-budget-usd": "1.5", "batchgate-fail-fast": "1"})
        await app.ended(child)
        shown = await progress(app, child)
        assert (shown["reused"], shown["spent"]["direct_usd"], shown["tokens"]["input"]) == (6, 1.0, 1)
        async with app.client.get(app.url + "/metrics") as response:
            metrics = await response.text()
        assert 'batchgate_requests_reused_total{workspace="default"} 6.0' in metrics
        assert 'batchgate_requests_finished_total{outcome="succeeded",workspace="default"} 13.0' in metrics


async def test_a_retry_of_a_batch_that_reused_results_sends_what_failed_and_merges_with_it(
    app: RunningApp, provider: ChoosyProvider
) -> None:
    parent = await ended_batch(app, provider)
    provider.refused["new"] = "invalid_request_error"
    child = await create(app, {"r0": params("r0"), "new": params("new")}, reuse=parent)
    await app.ended(child)
    provider.refused.clear()
    status, retry = await app.call("POST", f"/api/batches/{child}/retry", json={})
    assert (status, retry["parent"], retry["total"]) == (200, child, 1)
    await app.ended(retry["id"])
    assert (await progress(app, retry["id"]))["reuses"] is None
    async with app.client.get(f"{app.url}/api/batches/{child}/results?merged=true") as response:
        assert (await response.text()).count('"type":"succeeded"') == 2


async def test_large_results_are_stored_a_few_at_a_time(provider: ChoosyProvider, tmp_path: Path) -> None:
    provider.padding = "x" * 700_000
    waiting = simulator(rate_limit_rate=1.0, retry_after=60.0)
    accounts = {"a": provider.account(), "never": waiting}
    async with running_app(tmp_path, **settings(provider, accounts=accounts)) as app:
        parent = await ended_batch(app, provider)
        requests = {custom_id: params(custom_id) for custom_id in IDS} | {"open": params("r", model="never/m")}
        child = await create(app, requests, reuse=parent)
        while (await progress(app, child))["reused"] < len(IDS):
            pass
        with closing(sqlite3.connect(tmp_path / "batchgate.db")) as database:
            sizes = [size for (size,) in database.execute("SELECT length(lines) FROM chunks ORDER BY 1")]
    assert (len(sizes), sizes[-1] < 2 * 1024 * 1024) == (3, True)


async def test_10_000_results_are_taken_over_in_another_order_while_the_gateway_answers(tmp_path: Path) -> None:
    prompts = [f"prompt {number}" for number in range(10_000)]
    async with running_app(tmp_path) as app, asyncio.timeout(TIMEOUT):
        batches = list[str]()
        for names in (prompts, prompts[::-1]):
            asked = batches[0] if batches else None
            batches.append(await create(app, {f"r{len(batches)}-{name[7:]}": params(name) for name in names}, asked))
            longest, began = 0.0, asyncio.get_running_loop().time()
            while (found := await progress(app, batches[-1]))["status"] != "ended":
                now = asyncio.get_running_loop().time()
                longest, began = max(longest, now - began), now
        assert (found["reused"], found["succeeded"], longest < 1.0) == (10_000, 10_000, True)
        texts = await answers(app, batches[1])
        assert texts == {f"r1-{name[7:]}": f"You said: {name}" for name in prompts}


# ---------------------------------------------------------------- what is refused


async def test_a_batch_that_cannot_be_reused_is_refused_and_nothing_is_stored(
    app: RunningApp, provider: ChoosyProvider
) -> None:
    parent = await ended_batch(app, provider)
    assert await refusal(app, "msgbatch_none") == (404, "There is no batch 'msgbatch_none' in this workspace.")
    chat = openai_batches.create_body(
        await openai_batches.upload_lines(app, openai_batches.jsonl(openai_batches.chat_line("r0")))
    )
    status, message = await refusal(app, parent, openai_batches.BATCHES, json=chat)
    assert (status, message) == (
        400,
        f"reuse: the requests of batch '{parent}' are for /v1/messages, those of this batch for /v1/chat/completions",
    )
    app.clock.move(30 * 24 * 3600.0)
    while (await app.call("GET", f"{BATCHES}/{parent}"))[1]["archived_at"] is None:
        pass
    status, message = await refusal(app, parent)
    assert (status, message) == (
        404,
        f"reuse: the results of batch '{parent}' are gone: its files were deleted or have expired",
    )
    _, page = await app.call("GET", "/api/batches")
    assert [batch["id"] for batch in page["data"]] == [parent]


async def test_a_batch_that_runs_and_one_whose_file_has_faults_are_refused(tmp_path: Path) -> None:
    accounts = {"a": simulator(rate_limit_rate=1.0, retry_after=60.0)}
    async with running_app(tmp_path, accounts=accounts, shutdown_timeout=0.0) as app, asyncio.timeout(TIMEOUT):
        running = await create(app, {"r0": params("r0")})
        status, message = await refusal(app, running)
        expected = f"reuse: batch '{running}' is in_progress; its results can be reused once it has ended"
        assert (status, message) == (400, expected)
        failed = (await openai_batches.create(app, {"custom_id": "no body"}))["id"]
        await openai_batches.wait_for_final_status(app, failed)
        body = {
            "endpoint": openai_batches.CHAT,
            "completion_window": "24h",
            "requests": [openai_batches.chat_line("r")],
        }
        status, message = await refusal(app, failed, openai_batches.BATCHES, json=body)
        assert (status, message) == (400, f"reuse: batch '{failed}' has no results, as none of its requests was sent")


async def test_a_batch_of_another_workspace_is_unknown(provider: ChoosyProvider, tmp_path: Path) -> None:
    keys = {name: ApiKeySettings(key=f"sk-{name}-0123456789", workspace=name) for name in ("own", "foreign")}
    own, foreign = ({"x-api-key": f"sk-{name}-0123456789"} for name in keys)
    async with running_app(tmp_path, **settings(provider, api_keys=keys)) as app:
        parent = await create(app, {"r0": params("r0")}, **foreign)
        found = await refusal(app, parent, headers=own)
        assert found == (404, f"There is no batch '{parent}' in this workspace.")


async def test_requests_that_make_files_are_not_reused(tmp_path: Path) -> None:
    body = {"endpoint": "/v1/audio/speech", "completion_window": "24h"}
    line = {
        "custom_id": "r",
        "method": "POST",
        "url": "/v1/audio/speech",
        "body": {"model": "m", "input": "x", "voice": "v"},
    }
    async with running_app(tmp_path) as app, asyncio.timeout(TIMEOUT):
        _, parent = await app.call("POST", openai_batches.BATCHES, json=body | {"requests": [line]})
        await openai_batches.wait_for_final_status(app, parent["id"])
        status, message = await refusal(app, parent["id"], openai_batches.BATCHES, json=body | {"requests": [line]})
        assert status == 400
        assert message == "reuse: requests for /v1/audio/speech make files, which belong to the batch that made them"


# ---------------------------------------------------------------- what happens afterwards


async def test_a_batch_whose_source_is_damaged_is_paused_and_sends_everything_once_it_is_resumed(
    app: RunningApp, provider: ChoosyProvider
) -> None:
    parent = await ended_batch(app, provider)
    (results,) = (app.data_dir / "blobs").rglob(f"{parent}/results*")
    results.write_bytes(results.read_bytes().replace(b"Answer", b"answer"))
    child = await create(app, {"r0": params("r0")}, reuse=parent)
    while (paused := (await progress(app, child))["paused"]) is None:
        pass
    reason = f"reuse: the stored files of batch '{parent}' are damaged"
    assert (paused["code"], paused["by"]) == ("reuse_failed", None)
    assert paused["reason"] == f"{reason}. Resumed, it sends all requests that have no result"
    assert provider.calls == []
    await app.call("POST", f"/api/batches/{child}/resume")
    await app.ended(child)
    assert provider.calls == [("m", "r0")]


async def test_a_worker_of_its_own_takes_over_results_and_pauses_a_batch_whose_source_was_deleted(
    provider: ChoosyProvider, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with new_database("postgres", tmp_path) as database:
        shared = settings(provider, database_url=database.url, blob_url=(tmp_path / "blobs").as_uri())
        async with running_app(tmp_path / "gateway", role="gateway", **shared) as gateway:
            async with running_app(tmp_path / "worker", role="worker", **shared):
                parent = await ended_batch(gateway, provider)
                child = await create(gateway, {"again": params("r0"), "new": params("new")}, reuse=parent)
                assert (await answers(gateway, child)).keys() == {"again", "new"}
                assert [prompt for _, prompt in provider.calls] == ["new"]
            late = await create(gateway, {"r0": params("r0")}, reuse=parent, **{"Idempotency-Key": "late"})
            await gateway.call("DELETE", f"{BATCHES}/{parent}")
            assert await create(gateway, {"r0": params("r0")}, reuse=parent, **{"Idempotency-Key": "late"}) == late
            async with running_app(tmp_path / "worker", role="worker", **shared):
                while (paused := (await progress(gateway, late))["paused"]) is None:
                    pass
            assert paused["reason"].startswith(f"reuse: batch '{parent}' was deleted. Resumed, it sends")
            logged = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
            assert f"the results of {parent} were deleted before a batch could reuse them" in logged
            assert len(provider.calls) == 1
