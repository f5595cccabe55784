"""What a pause does to jobs that the provider has: it keeps them, waits for their end, or cancels them."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from batchgate.account_settings import AccountSettings
from tests.integration.native.lane_client import BASES
from tests.integration.native.native_gateway import KEY, MIN_REQUESTS, NativeGateway, native_gateway
from tests.support.running_app import MovableClock, running_app
from tests.support.simulated_batches import simulated_providers

IDS = [f"request-{number}" for number in range(3 * MIN_REQUESTS)]
RUNNING = 600
"""Simulated seconds in which the provider answers the requests of a job, one every 10 seconds."""
CANCELS = "its batch was paused, and the pause cancels its jobs"


async def pause(gateway: NativeGateway, batch_id: str, native_jobs: str) -> dict[str, Any]:
    path = f"/api/batches/{batch_id}/pause"
    status, answer = await gateway.app.call("POST", path, params={"native_jobs": native_jobs})
    assert status == 200, answer
    assert isinstance(answer, dict)
    return answer


async def resume(gateway: NativeGateway, batch_id: str) -> None:
    status, answer = await gateway.app.call("POST", f"/api/batches/{batch_id}/resume")
    assert status == 200, answer


async def job_states(gateway: NativeGateway, batch_id: str) -> list[str]:
    return [job["state"] for job in (await gateway.progress(batch_id))["jobs"]]


async def running_batch(
    gateway: NativeGateway, *ids: str, lane: str = "auto", seconds: float = 1.0, **settings: object
) -> str:
    """Create a batch whose job has run for some time at the provider, and return its id."""
    await gateway.providers.configure(running=RUNNING, **settings)
    batch = await gateway.create(*ids, headers={"batchgate-lane": lane})
    await gateway.jobs_upstream()
    while await job_states(gateway, batch["id"]) != ["running"]:
        await gateway.pass_time(1.0)
    await gateway.pass_time(seconds)
    return str(batch["id"])


async def until_paused(gateway: NativeGateway, batch_id: str) -> dict[str, Any]:
    """Let time pass until a batch that is pausing is paused, and return its progress."""
    while (progress := await gateway.progress(batch_id))["paused"]["state"] == "pausing":
        await gateway.pass_time(10.0)
    return progress


async def timeline(gateway: NativeGateway, batch_id: str) -> list[tuple[str, str | None]]:
    _, answer = await gateway.app.call("GET", f"/api/batches/{batch_id}/timeline")
    assert isinstance(answer, dict)
    return [(entry["action"], entry["detail"]) for entry in answer["data"]]


@pytest.mark.parametrize("lane", ["auto", "native"])
async def test_a_pause_cancels_a_job_keeps_its_results_and_plans_the_rest_anew(tmp_path: Path, lane: str) -> None:
    async with native_gateway(tmp_path) as gateway:
        batch_id = await running_batch(gateway, *IDS, lane=lane, seconds=RUNNING / 2)
        paused = (await pause(gateway, batch_id, "cancel"))["paused"]
        assert (paused["state"], paused["native_jobs"]) == ("pausing", "cancel")
        progress = await until_paused(gateway, batch_id)
        canceled, planned = progress["jobs"]
        assert (canceled["state"], canceled["reason"]) == ("failed", CANCELS)
        assert 0 < progress["succeeded"] == canceled["answered"] < len(IDS)
        assert (planned["state"], planned["requests"]) == ("planned", len(IDS) - canceled["answered"])
        await gateway.pass_time(3600)
        assert [job.state for job in await gateway.providers.jobs()] == ["cancelled"]
        await resume(gateway, batch_id)
        await gateway.until_ended(batch_id)
        assert Counter(result["result"]["type"] for result in await gateway.app.results(batch_id)) == {
            "succeeded": len(IDS)
        }
        assert await job_states(gateway, batch_id) == ["failed", "done"]
        assert [job.paid for job in await gateway.providers.jobs()] == [canceled["answered"], planned["requests"]]
        assert await timeline(gateway, batch_id) == [("paused", "native jobs: cancel"), ("resumed", None)]


async def test_a_pause_with_wait_is_pausing_until_the_provider_has_answered(tmp_path: Path) -> None:
    async with native_gateway(tmp_path) as gateway:
        batch_id = await running_batch(gateway, *IDS)
        assert (await pause(gateway, batch_id, "wait"))["paused"]["state"] == "pausing"
        _, batches = await gateway.app.call("GET", "/api/batches")
        assert [batch["paused"]["state"] for batch in batches["data"]] == ["pausing"]
        ended = await gateway.until_ended(batch_id)
        assert ended["request_counts"]["succeeded"] == len(IDS)
        assert [job.state for job in await gateway.providers.jobs()] == ["completed"]


async def test_a_second_pause_changes_what_happens_to_the_jobs_and_nothing_else(tmp_path: Path) -> None:
    async with native_gateway(tmp_path) as gateway:
        batch_id = await running_batch(gateway, *IDS)
        first = (await pause(gateway, batch_id, "keep"))["paused"]
        await gateway.pass_time(10.0)
        assert [job.state for job in await gateway.providers.jobs()] == ["in_progress"]
        for _ in range(2):
            second = (await pause(gateway, batch_id, "cancel"))["paused"]
        assert second == first | {"state": "pausing", "native_jobs": "cancel"}
        while [job.state for job in await gateway.providers.jobs()] == ["in_progress"]:
            await gateway.pass_time(0.0)  # no poll is due: the action itself has woken the job
        assert await timeline(gateway, batch_id) == [("paused", None), ("paused", "native jobs: cancel")]


async def test_a_canceled_job_that_the_provider_refuses_for_its_tokens_is_not_sent_again(tmp_path: Path) -> None:
    async with native_gateway(tmp_path) as gateway:
        batch_id = await running_batch(gateway, *IDS, lane="native", enqueued_tokens=1)
        while (await gateway.progress(batch_id))["jobs"][0]["upstream_status"] != "validating":
            await gateway.pass_time(0.0)  # until the first poll
        await gateway.providers.advance(120)
        assert [job.state for job in await gateway.providers.jobs()] == ["failed"]
        await pause(gateway, batch_id, "cancel")
        refused, planned = (await until_paused(gateway, batch_id))["jobs"]
        assert [(job["state"], job["reason"]) for job in (refused, planned)] == [("failed", CANCELS), ("planned", None)]
        await gateway.providers.configure(running=RUNNING, enqueued_tokens=10**9)
        await resume(gateway, batch_id)
        ended = await gateway.until_ended(batch_id)
        assert ended["request_counts"]["succeeded"] == len(IDS)
        assert [job.paid for job in await gateway.providers.jobs()] == [0, len(IDS)]


async def test_few_requests_that_a_canceled_job_leaves_are_called_after_the_resume(tmp_path: Path) -> None:
    async with native_gateway(tmp_path) as gateway:
        batch_id = await running_batch(gateway, *IDS, seconds=RUNNING * 0.8)
        await pause(gateway, batch_id, "cancel")
        (job,) = (await until_paused(gateway, batch_id))["jobs"]
        assert len(IDS) - MIN_REQUESTS < job["answered"] < len(IDS)
        await gateway.pass_time(3600)
        assert (await gateway.progress(batch_id))["succeeded"] == job["answered"]
        await resume(gateway, batch_id)
        ended = await gateway.until_ended(batch_id)
        assert ended["request_counts"]["succeeded"] == len(IDS)
        assert len(await gateway.providers.jobs()) == 1


async def test_a_batch_that_is_canceled_while_its_pause_cancels_a_job_gets_no_other_job(tmp_path: Path) -> None:
    async with native_gateway(tmp_path) as gateway:
        batch_id = await running_batch(gateway, *IDS)
        await pause(gateway, batch_id, "cancel")
        await gateway.app.call("POST", f"/v1/messages/batches/{batch_id}/cancel")
        ended = await gateway.until_ended(batch_id)
        assert ended["request_counts"]["canceled"] + ended["request_counts"]["succeeded"] == len(IDS)
        assert await job_states(gateway, batch_id) == ["failed"]


@asynccontextmanager
async def gateway_of(data_dir: Path, url: str, clock: MovableClock) -> AsyncIterator[Any]:
    account = AccountSettings(
        provider="openai", base_url=url + BASES["openai"], api_key=KEY, lane="auto", native_min_requests=MIN_REQUESTS
    )
    async with running_app(data_dir, clock=clock, accounts={"openai": account}) as app:
        yield app


async def test_a_gateway_that_stops_while_a_pause_cancels_a_job_goes_on_after_its_restart(tmp_path: Path) -> None:
    clock = MovableClock()
    async with simulated_providers() as providers:
        async with gateway_of(tmp_path, providers.url, clock) as app:
            gateway = NativeGateway(app, providers)
            batch_id = await running_batch(gateway, *IDS, seconds=RUNNING / 2)
            await providers.play(outage=503)
            await pause(gateway, batch_id, "cancel")
            await gateway.pass_time(1.0)
        await providers.play()
        async with gateway_of(tmp_path, providers.url, clock) as app:
            gateway = NativeGateway(app, providers)
            jobs = (await until_paused(gateway, batch_id))["jobs"]
            assert [job["state"] for job in jobs] == ["failed", "planned"]
        async with gateway_of(tmp_path, providers.url, clock) as app:
            gateway = NativeGateway(app, providers)
            await gateway.pass_time(3600)
            assert len(await providers.jobs()) == 1
            await resume(gateway, batch_id)
            ended = await gateway.until_ended(batch_id)
            assert ended["request_counts"]["succeeded"] == len(IDS)
            assert [job["answered"] for job in (await gateway.progress(batch_id))["jobs"]] == [
                jobs[0]["answered"],
                jobs[1]["requests"],
            ]
