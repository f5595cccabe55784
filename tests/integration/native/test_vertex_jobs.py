"""What is different about the jobs of Vertex AI: Claude, the import of rows, response schemas, folders and tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from msgspec import structs

from batchgate.account_settings import AccountSettings
from batchgate.engine.model.errors import UpstreamError
from batchgate.engine.native import job_groups
from batchgate.providers.batches.http_exchange import HttpExchange
from tests.integration.native.lane_client import LaneClient, stream
from tests.integration.native.native_gateway import NativeGateway, cloud_account, native_gateway
from tests.support.running_app import BATCHES, params, running_app
from tests.support.service_accounts import service_account
from tests.support.simulated_batches import SimulatedProviders, simulated_providers

GEMINI, CLAUDE = "gemini-2.5-flash", "claude-opus-9@20261101"
Params = dict[str, Any]


async def run(gateway: NativeGateway, *sent: Params) -> tuple[Counter[str], list[int]]:
    """Run a batch to its end, and return its results by type and how many requests each job answered."""
    requests = [{"custom_id": f"c-{n}", "params": one} for n, one in enumerate(sent)]
    status, batch = await gateway.app.call("POST", BATCHES, json={"requests": requests})
    assert status == 200, batch
    await gateway.until_ended(batch["id"])
    results = await gateway.app.results(batch["id"])
    assert [result["custom_id"] for result in results] == [request["custom_id"] for request in requests]
    jobs = [(job["state"], job["answered"]) for job in (await gateway.progress(batch["id"]))["jobs"]]
    assert {state for state, _ in jobs} <= {"done"}, jobs
    return Counter(result["result"]["type"] for result in results), sorted(answered for _, answered in jobs)


def with_schema(name: str) -> Params:
    """Return the params of a request whose answer has a schema."""
    schema = {"type": "object", "properties": {name: {"type": "string"}}, "required": [name]}
    schema["additionalProperties"] = False  # type: ignore[assignment]
    return params(GEMINI) | {"output_config": {"format": {"type": "json_schema", "schema": schema}}}


@pytest.mark.parametrize("model", [GEMINI, f"google/{GEMINI}", CLAUDE, f"publishers/anthropic/models/{CLAUDE}"])
async def test_messages_run_in_jobs_of_gemini_and_of_claude(tmp_path: Path, model: str) -> None:
    async with native_gateway(tmp_path, "vertex") as gateway:
        assert await run(gateway, *[params(model)] * 20) == ({"succeeded": 20}, [20])


async def test_each_response_schema_has_a_job_of_its_own(tmp_path: Path) -> None:
    async with native_gateway(tmp_path, "vertex") as gateway:
        sent = [with_schema("a"), with_schema("b"), params(GEMINI)] * 20
        assert await run(gateway, *sent) == ({"succeeded": 60}, [20, 20, 20])


async def test_only_the_most_frequent_response_schemas_have_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_groups, "MAX_GROUPS", 1)
    async with native_gateway(tmp_path, "vertex") as gateway:
        sent = [*[with_schema("a")] * 20, *[with_schema("b")] * 21]
        assert await run(gateway, *sent) == ({"succeeded": 41}, [21])


async def test_what_the_import_would_not_take_runs_directly_beside_the_job(tmp_path: Path) -> None:
    unfit = params(GEMINI) | {"tools": [{"name": "t", "input_schema": {"type": "object", "properties": {}}}]}
    async with native_gateway(tmp_path, "vertex") as gateway:
        assert await run(gateway, *[params(GEMINI)] * 20, unfit) == ({"succeeded": 21}, [20])


async def test_models_of_other_publishers_run_directly(tmp_path: Path) -> None:
    async with native_gateway(tmp_path, "vertex") as gateway:
        assert await run(gateway, *[params("meta/llama-9")] * 20) == ({"succeeded": 20}, [])


async def test_claude_has_no_jobs_in_the_location_global(tmp_path: Path) -> None:
    async with native_gateway(tmp_path, "vertex", region="global", lane="native") as gateway:
        status, batch = await gateway.app.call(
            "POST", BATCHES, json={"requests": [{"custom_id": "a", "params": params(CLAUDE)}]}
        )
        assert status == 200, batch
        await gateway.until_ended(batch["id"])
        (job,) = (await gateway.progress(batch["id"]))["jobs"]
        assert "the account needs a region for Claude's" in job["reason"]
        assert await gateway.providers.jobs() == []


@pytest.fixture
async def lane() -> AsyncIterator[LaneClient]:
    async with simulated_providers() as providers, HttpExchange() as exchange:
        yield LaneClient("vertex", providers, exchange)


async def test_the_error_of_a_row_is_that_of_the_live_api(lane: LaneClient) -> None:
    planned = lane.batches.encode(lane.account, lane.row(), "r0")
    wrong = structs.replace(planned, line=planned.line.replace(b'"contents":[', b'"contents":[{"role":"user"},'))
    file = await lane.batches.upload(lane.account, lane.job(1), stream([wrong]))
    job = structs.replace(lane.job(1), upstream_file=file)
    job = lane.created(job, await lane.batches.create(lane.account, job, stream([])))
    await lane.providers.advance(60)
    (result,) = await lane.results(job)
    with pytest.raises(UpstreamError, match=r"contents\.parts must not be empty") as caught:
        lane.answer(lane.row(), result)
    assert caught.value.status == 400


async def test_a_job_that_cannot_be_imported_says_why(lane: LaneClient) -> None:
    planned = [lane.batches.encode(lane.account, lane.row(), f"r{n}") for n in range(2)]
    planned[1] = structs.replace(planned[1], line=planned[1].line.replace(b'"Hello"', b"7"))
    file = await lane.batches.upload(lane.account, lane.job(2), stream(planned))
    job = structs.replace(lane.job(2), upstream_file=file)
    job = lane.created(job, await lane.batches.create(lane.account, job, stream([])))
    await lane.providers.advance(60)
    failed = await lane.poll(job)
    assert (failed.outcome, failed.results, failed.faults[0].code) == ("failed", (), "3")
    assert "Failed to import data" in failed.faults[0].message


async def test_a_job_whose_bucket_cannot_be_read_fails_later(lane: LaneClient) -> None:
    job = structs.replace(lane.job(1), upstream_file="tok-1/nothing.jsonl")
    created = await lane.batches.create(lane.account, job, stream([]))
    assert created.outcome == "running"
    await lane.providers.advance(60)
    failed = await lane.poll(lane.created(job, created))
    assert (failed.outcome, failed.faults[0].code) == ("failed", "9")


async def test_every_file_of_the_output_is_read(lane: LaneClient) -> None:
    job = await lane.submit([lane.row()] * 2)
    await lane.providers.advance(60)
    (predictions,) = (await lane.poll(job)).results
    more = {"custom_id": "r2", "processed_time": "", "status": "", "response": {"candidates": []}}
    folder = predictions.rpartition("/")[0]
    url = f"{lane.providers.url}/vertex/gcs/bucket/prefix/{folder}"
    for name in ("incremental_predictions.jsonl", "errors_stats-00000-of-00001"):
        async with lane.providers.http.put(f"{url}/{name}", data=msgspec.json.encode(more) + b"\n") as answer:
            assert answer.status == 200
    assert len((await lane.poll(job)).results) == 2
    assert sorted(result.row_id for result in await lane.results(job)) == ["r0", "r1", "r2"]


async def test_each_job_has_a_folder_of_its_own(lane: LaneClient) -> None:
    one, other = await lane.submit([lane.row()], "tok-1"), await lane.submit([lane.row()], "tok-2")
    await lane.providers.advance(60)
    found = [(await lane.poll(job)).results for job in (one, other)]
    assert [handles[0].split("/")[:2] for handles in found] == [["tok-1", "output"], ["tok-2", "output"]]


async def test_a_running_job_is_not_deleted_but_its_objects_are(lane: LaneClient) -> None:
    job = await lane.submit([lane.row()])
    running = await lane.poll(job)
    with pytest.raises(UpstreamError, match="not in a final state"):
        await lane.batches.discard(lane.account, job, running)
    assert (await lane.poll(job)).outcome == "running"
    with pytest.raises(UpstreamError) as caught:
        _ = [group async for group in lane.batches.results(lane.account, job, structs.replace(running, results=("x",)))]
    assert caught.value.status == 404


# ---------------------------------------------------------------- access tokens


@asynccontextmanager
async def gateway_with_tokens(data_dir: Path) -> AsyncIterator[tuple[NativeGateway, str]]:
    """Run a gateway whose key is that of a service account, which the provider requires."""
    async with simulated_providers() as providers:
        key = service_account(f"{providers.url}/token")
        await require(providers, key)
        given: Params = {"lane": "native", "base_url": f"{providers.url}/vertex", "api_key": key}
        given |= cloud_account("vertex", providers.url)
        accounts = {"vertex": AccountSettings(provider="vertex", **given)}
        async with running_app(data_dir, accounts=accounts) as app:
            yield NativeGateway(app, providers, "vertex"), key


async def test_a_job_outlives_the_access_token_that_made_it(tmp_path: Path) -> None:
    async with gateway_with_tokens(tmp_path) as (gateway, key):
        await gateway.providers.configure(running=3000)
        batch = await gateway.create("a", "b")
        await gateway.jobs_upstream()
        await require(gateway.providers, f"{key} ")  # the same key, but all of its tokens are revoked
        ended = await gateway.until_ended(batch["id"], step=60)
        assert ended["request_counts"]["succeeded"] == 2
        assert [job["state"] for job in (await gateway.progress(batch["id"]))["jobs"]] == ["done"]


async def require(providers: SimulatedProviders, key: str) -> None:
    """Accept only tokens of a key from now on."""
    settings = {"latency": 0, "require_key": key}
    async with aiohttp.ClientSession() as http, http.put(f"{providers.url}/settings", json=settings) as answer:
        assert answer.status == 204
