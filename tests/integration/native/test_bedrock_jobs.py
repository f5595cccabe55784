"""What is different about the jobs of Bedrock: their minimum, their two kinds, and a token against second jobs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from batchgate.engine.model.errors import UpstreamError
from batchgate.providers.batches.bedrock_batches import BedrockBatches
from batchgate.providers.batches.http_exchange import HttpExchange
from batchgate.providers.simulator.batches.control import JournalJob
from tests.integration.native.lane_client import LaneClient, stream
from tests.integration.native.native_gateway import NativeGateway, native_gateway
from tests.support.running_app import BATCHES, params
from tests.support.simulated_batches import simulated_providers

NOVA = "amazon.nova-lite-v1:0"
CLAUDE = "eu.anthropic.claude-simulated-v1:0"


async def run(gateway: NativeGateway, model: str, count: int, **fields: Any) -> tuple[Counter[str], list[JournalJob]]:
    """Run a batch to its end, and return its results by type and the jobs that the provider had."""
    requests = [{"custom_id": f"c-{n}", "params": params(model) | fields} for n in range(count)]
    status, batch = await gateway.app.call("POST", BATCHES, json={"requests": requests})
    assert status == 200, batch
    assert isinstance(batch, dict)
    await gateway.until_ended(batch["id"])
    results = await gateway.app.results(batch["id"])
    assert [result["custom_id"] for result in results] == [request["custom_id"] for request in requests]
    return Counter(result["result"]["type"] for result in results), await gateway.providers.jobs()


@pytest.mark.parametrize("model", [NOVA, CLAUDE])
async def test_messages_run_in_jobs_of_converse_or_of_the_bodies_of_claude(tmp_path: Path, model: str) -> None:
    async with native_gateway(tmp_path, "bedrock") as gateway:
        outcomes, jobs = await run(gateway, model, 20)
        assert (outcomes, len(jobs)) == ({"succeeded": 20}, 1)


async def test_fewer_requests_than_bedrocks_minimum_run_directly(tmp_path: Path) -> None:
    async with native_gateway(tmp_path, "bedrock", job_min_requests=None) as gateway:
        assert await run(gateway, CLAUDE, 99) == ({"succeeded": 99}, [])
        outcomes, jobs = await run(gateway, CLAUDE, 100)
        assert (outcomes, len(jobs)) == ({"succeeded": 100}, 1)


async def test_fewer_requests_end_with_the_reason_in_the_lane_native(tmp_path: Path) -> None:
    async with native_gateway(tmp_path, "bedrock", job_min_requests=None, lane="native") as gateway:
        batch = await gateway.create("a")
        await gateway.until_ended(batch["id"])
        (result,) = await gateway.app.results(batch["id"])
        assert "fewer than 100 requests have this model" in result["result"]["error"]["error"]["message"]


async def test_tools_run_directly_with_converse_and_natively_with_claude(tmp_path: Path) -> None:
    tools = [{"name": "t", "input_schema": {"type": "object"}}]
    async with native_gateway(tmp_path, "bedrock") as gateway:
        assert await run(gateway, NOVA, 20, tools=tools) == ({"succeeded": 20}, [])
        outcomes, jobs = await run(gateway, CLAUDE, 20, tools=tools)
        assert (outcomes, len(jobs)) == ({"succeeded": 20}, 1)


async def test_a_repeated_create_makes_no_second_job() -> None:
    async with simulated_providers() as providers, HttpExchange() as exchange:
        lane = LaneClient("bedrock", providers, exchange)
        uploaded, planned = await lane.upload([lane.row()])
        first = await lane.batches.create(lane.account, uploaded, stream(planned))
        again = await lane.batches.create(lane.account, uploaded, stream(planned))
        assert first.id == again.id
        assert len(await providers.jobs()) == 1


async def test_too_few_records_fail_the_whole_job_with_the_reason() -> None:
    async with simulated_providers() as providers, HttpExchange() as exchange:
        await providers.configure(min_rows=100)
        lane = LaneClient("bedrock", providers, exchange)
        job = await lane.submit([lane.row()])
        await providers.advance(60)
        failed = await lane.poll(job)
        assert (failed.outcome, failed.results) == ("failed", ())
        assert "less than the minimum of 100" in failed.faults[0].message


async def test_the_error_of_a_row_is_that_of_the_live_api() -> None:
    async with simulated_providers() as providers, HttpExchange() as exchange:
        lane = LaneClient("bedrock", providers, exchange)
        planned = lane.batches.encode(lane.account, lane.row(), "r0")
        wrong = structs.replace(planned, line=planned.line.replace(b'"text":"Hello"', b'"text":7'))
        file = await lane.batches.upload(lane.account, lane.job(1), stream([wrong]))
        job = structs.replace(lane.job(1), upstream_file=file)
        job = lane.created(job, await lane.batches.create(lane.account, job, stream([])))
        await providers.advance(60)
        (result,) = await lane.results(job)
        with pytest.raises(UpstreamError, match="Expected") as caught:
            lane.answer(lane.row(), result)
        assert caught.value.status == 400


@pytest.mark.parametrize(("count", "sizes"), [(40, [19, 21]), (44, [19, 25]), (45, [20, 25])])
async def test_no_job_has_fewer_requests_than_the_minimum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, sizes: list[int]
) -> None:
    limits = structs.replace(BedrockBatches.limits, max_requests=25)
    monkeypatch.setattr(BedrockBatches, "limits", limits)
    async with native_gateway(tmp_path, "bedrock", job_min_requests=19) as gateway:
        outcomes, jobs = await run(gateway, CLAUDE, count)
        assert outcomes == {"succeeded": count}
        assert sorted(len(job.rows) for job in jobs) == sizes
