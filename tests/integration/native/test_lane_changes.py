"""A running batch is moved to another lane: its jobs are taken back, and the rest of its requests runs directly."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from batchgate.account_settings import AccountSettings
from tests.integration.native.lane_client import BASES
from tests.integration.native.native_gateway import KEY, MIN_REQUESTS, NativeGateway, native_gateway
from tests.support.running_app import MovableClock, RunningApp, running_app
from tests.support.simulated_batches import simulated_providers

IDS = [f"request-{number}" for number in range(3 * MIN_REQUESTS)]
RUNNING = 600
HOUR = 3600.0
MOVED = "its batch was moved to the lane direct"


async def set_lane(app: RunningApp, batch_id: str, lane: str, *, status: int = 200) -> dict[str, Any]:
    found, answer = await app.call("PUT", f"/api/batches/{batch_id}/lane", json={"lane": lane})
    assert found == status, answer
    assert isinstance(answer, dict)
    return answer


async def running_batch(gateway: NativeGateway, lane: str, *, seconds: float = 1.0, cancelling: float = 5.0) -> str:
    """Create a batch whose job has run for some time at the provider, and return its id."""
    await gateway.providers.configure(running=RUNNING, cancelling=cancelling)
    batch = await gateway.create(*IDS, headers={"batchgate-lane": lane})
    while [job["state"] for job in (await gateway.progress(batch["id"]))["jobs"]] != ["running"]:
        await gateway.pass_time(1.0)
    await gateway.pass_time(seconds)
    return str(batch["id"])


async def outcomes(gateway: NativeGateway, batch_id: str) -> Counter[str]:
    return Counter(result["result"]["type"] for result in await gateway.app.results(batch_id))


async def timeline(app: RunningApp, batch_id: str) -> list[tuple[str, str | None]]:
    _, answer = await app.call("GET", f"/api/batches/{batch_id}/timeline")
    assert isinstance(answer, dict)
    return [(entry["action"], entry["detail"]) for entry in answer["data"]]


@pytest.mark.parametrize("lane", ["auto", "native"])
async def test_a_running_job_is_canceled_keeps_its_results_and_the_rest_is_called(tmp_path: Path, lane: str) -> None:
    async with native_gateway(tmp_path) as gateway:
        batch_id = await running_batch(gateway, lane, seconds=RUNNING / 2)
        for _ in range(2):
            assert (await set_lane(gateway.app, batch_id, "direct"))["lane"] == "direct"
        await gateway.until_ended(batch_id)
        assert await outcomes(gateway, batch_id) == {"succeeded": len(IDS)}
        (job,) = (await gateway.progress(batch_id))["jobs"]
        assert (job["state"], job["reason"]) == ("failed", MOVED)
        assert 0 < job["answered"] < len(IDS)
        assert [job.state for job in await gateway.providers.jobs()] == ["cancelled"]
        assert await timeline(gateway.app, batch_id) == [("lane_changed", "direct")]


async def test_a_planned_job_is_withdrawn_while_its_batch_is_paused_and_called_after_the_resume(tmp_path: Path) -> None:
    async with native_gateway(tmp_path) as gateway:
        await gateway.providers.play(refuse_creates=1000)
        batch_id = (await gateway.create(*IDS))["id"]
        await gateway.app.call("POST", f"/api/batches/{batch_id}/pause")
        while [job["state"] for job in (await gateway.progress(batch_id))["jobs"]] != ["planned"]:
            await gateway.pass_time(1.0)
        await set_lane(gateway.app, batch_id, "direct")
        while [job["state"] for job in (await gateway.progress(batch_id))["jobs"]] != ["withdrawn"]:
            await gateway.pass_time(0.0)  # nothing else wakes the job
        await gateway.pass_time(60.0)
        assert (await gateway.progress(batch_id))["succeeded"] == 0
        await gateway.app.call("POST", f"/api/batches/{batch_id}/resume")
        await gateway.until_ended(batch_id)
        assert await outcomes(gateway, batch_id) == {"succeeded": len(IDS)}
        assert await gateway.providers.jobs() == []


async def test_what_a_job_answers_after_its_batch_was_moved_counts_as_paid_twice(tmp_path: Path) -> None:
    async with native_gateway(tmp_path) as gateway:
        await gateway.providers.play(cancellation="loses_race")
        batch_id = await running_batch(gateway, "native", cancelling=HOUR)
        await set_lane(gateway.app, batch_id, "direct")
        await gateway.until_ended(batch_id, step=60.0)
        while not (progress := await gateway.progress(batch_id))["paid_twice"]:
            await gateway.pass_time(HOUR / 12)
        assert progress["paid_twice"] == len(IDS)
        assert await outcomes(gateway, batch_id) == {"succeeded": len(IDS)}


async def test_a_batch_of_the_lane_native_may_call_what_its_job_leaves_after_it_was_moved_to_auto(
    tmp_path: Path,
) -> None:
    async with native_gateway(tmp_path) as gateway:
        await gateway.providers.play(fail_with="model_not_found")
        batch_id = await running_batch(gateway, "native")
        await set_lane(gateway.app, batch_id, "auto")
        await gateway.until_ended(batch_id)
        assert await outcomes(gateway, batch_id) == {"succeeded": len(IDS)}


@pytest.mark.parametrize(("lane", "other"), [("direct", "auto"), ("direct", "native"), ("auto", "native")])
async def test_the_requests_of_a_running_batch_are_not_put_into_jobs(tmp_path: Path, lane: str, other: str) -> None:
    async with native_gateway(tmp_path) as gateway:
        batch = await gateway.create(*IDS, headers={"batchgate-lane": lane})
        answer = await set_lane(gateway.app, batch["id"], other, status=400)
        text = "can only be moved to the lane direct, or from native to auto, not to"
        assert answer["error"]["message"] == f"lane: batch '{batch['id']}' {text} {other}"
        await gateway.until_ended(batch["id"])
        answer = await set_lane(gateway.app, batch["id"], "native", status=400)
        assert "has ended; its lane cannot be changed" in answer["error"]["message"]
        assert await timeline(gateway.app, batch["id"]) == []


@asynccontextmanager
async def gateway_of(data_dir: Path, url: str, clock: MovableClock) -> AsyncIterator[RunningApp]:
    account = AccountSettings(
        provider="openai", base_url=url + BASES["openai"], api_key=KEY, lane="native", native_min_requests=MIN_REQUESTS
    )
    async with running_app(data_dir, clock=clock, accounts={"openai": account}) as app:
        yield app


async def test_a_batch_that_was_moved_before_a_stop_runs_directly_after_the_restart(tmp_path: Path) -> None:
    clock = MovableClock()
    async with simulated_providers() as providers:
        async with gateway_of(tmp_path, providers.url, clock) as app:
            gateway = NativeGateway(app, providers)
            batch_id = await running_batch(gateway, "native", seconds=RUNNING / 2)
            await providers.play(outage=503)
            await set_lane(app, batch_id, "direct")
            await gateway.pass_time(1.0)
        await providers.play()
        async with gateway_of(tmp_path, providers.url, clock) as app:
            gateway = NativeGateway(app, providers)
            await gateway.until_ended(batch_id)
            assert await outcomes(gateway, batch_id) == {"succeeded": len(IDS)}
            assert [job["reason"] for job in (await gateway.progress(batch_id))["jobs"]] == [MOVED]
