"""Every batch ends, in time, although the provider fails, forgets or refuses its jobs."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.integration.native.native_gateway import NativeGateway, native_gateway
from tests.support.running_app import BATCHES, params

IDS = [f"request-{number}" for number in range(30)]
CALLS = 40
"""Calls to the gateway between two steps: a batch must not miss a time limit because the machine is busy."""
EACH_PROVIDER = pytest.mark.parametrize("provider", ["openai", "anthropic"])
EACH_LANE = pytest.mark.parametrize("lane", ["auto", "native"])
UNTRANSLATABLE = params() | {"mcp_servers": [{"type": "url", "url": "https://example.com", "name": "a"}]}


async def ended_within(gateway: NativeGateway, batch_id: str, seconds: float, step: float = 20.0) -> dict[str, Any]:
    """Let time pass until a batch has ended, and return it; fail if that takes longer."""
    for _ in range(round(seconds / step)):
        _, batch = await gateway.app.call("GET", f"{BATCHES}/{batch_id}")
        if batch["processing_status"] == "ended":
            assert isinstance(batch, dict)
            return batch
        await gateway.pass_time(step, CALLS)
    raise AssertionError(f"the batch has not ended: {await gateway.progress(batch_id)}")


async def outcomes(gateway: NativeGateway, batch_id: str) -> Counter[str]:
    """Return how many results of each type a batch has."""
    return Counter(result["result"]["type"] for result in await gateway.app.results(batch_id))


@EACH_PROVIDER
@pytest.mark.parametrize("outage", [401, 404, 503])
async def test_a_canceled_batch_ends_although_no_call_to_the_provider_succeeds(
    tmp_path: Path, provider: Any, outage: int
) -> None:
    async with native_gateway(tmp_path, provider) as gateway:
        await gateway.providers.configure(running=1000)
        batch = await gateway.app.create(*IDS)
        await gateway.jobs_upstream()
        await gateway.providers.play(outage=outage)
        await gateway.app.call("POST", f"{BATCHES}/{batch['id']}/cancel")
        await ended_within(gateway, batch["id"], 3600)
        assert await outcomes(gateway, batch["id"]) == {"canceled": len(IDS)}
        (job,) = (await gateway.progress(batch["id"]))["jobs"]
        assert job["state"] == "failed"


@EACH_PROVIDER
async def test_results_that_cannot_be_downloaded_are_rescued_before_the_batch_expires(
    tmp_path: Path, provider: Any
) -> None:
    async with native_gateway(tmp_path, provider) as gateway:
        await gateway.providers.play(refuse_downloads=10_000)
        batch = await gateway.app.create(*IDS)
        await gateway.jobs_upstream()
        for _ in range(24 * 6 - 4):
            await gateway.pass_time(600)
        await ended_within(gateway, batch["id"], 2400, step=10)
        assert await outcomes(gateway, batch["id"]) == {"succeeded": len(IDS)}


def check_that_the_field_is_named(result: dict[str, Any]) -> None:
    assert result["result"]["type"] == "errored"
    assert result["result"]["error"]["error"]["message"].startswith("mcp_servers: "), result


@EACH_LANE
async def test_a_job_of_requests_that_cannot_be_translated_ends_at_once_and_its_results_name_the_field(
    tmp_path: Path, lane: str
) -> None:
    async with native_gateway(tmp_path, "openai", lane=lane) as gateway:
        requests = [{"custom_id": custom_id, "params": UNTRANSLATABLE} for custom_id in IDS]
        _, batch = await gateway.app.call("POST", BATCHES, json={"requests": requests})
        await ended_within(gateway, batch["id"], 600)
        results = await gateway.app.results(batch["id"])
        assert len(results) == len(IDS)
        for result in results:
            check_that_the_field_is_named(result)
        assert await gateway.providers.jobs() == []


@EACH_LANE
@pytest.mark.parametrize("translatable", [500, 519])
async def test_requests_that_cannot_be_translated_end_with_their_reason_whatever_else_is_in_their_shard(
    tmp_path: Path, lane: str, translatable: int
) -> None:
    """A shard has 500 requests; a job keeps those that it does not send if it has no others of their shard."""
    async with native_gateway(tmp_path, "openai", lane=lane) as gateway:
        requests = [
            {"custom_id": f"request-{number}", "params": params() if number < translatable else UNTRANSLATABLE}
            for number in range(520)
        ]
        _, batch = await gateway.app.call("POST", BATCHES, json={"requests": requests})
        await ended_within(gateway, batch["id"], 3600)
        assert await outcomes(gateway, batch["id"]) == {"succeeded": translatable, "errored": 520 - translatable}
        for result in (await gateway.app.results(batch["id"]))[translatable:]:
            check_that_the_field_is_named(result)


@EACH_LANE
async def test_a_job_whose_input_the_provider_refuses_is_given_up(tmp_path: Path, lane: str) -> None:
    async with native_gateway(tmp_path, "openai", lane=lane) as gateway:
        await gateway.providers.configure(max_bytes=100)
        batch = await gateway.app.create(*IDS)
        await ended_within(gateway, batch["id"], 3600)
        assert await outcomes(gateway, batch["id"]) == {"succeeded" if lane == "auto" else "errored": len(IDS)}


@EACH_PROVIDER
async def test_what_an_expired_batch_of_the_native_lane_did_not_get_is_expired(tmp_path: Path, provider: Any) -> None:
    async with native_gateway(tmp_path, provider, lane="native") as gateway:
        await gateway.providers.play(stall_at=0.4)
        batch = await gateway.app.create(*IDS)
        await gateway.jobs_upstream()
        for _ in range(24 * 6 - 1):
            await gateway.pass_time(600)
        await ended_within(gateway, batch["id"], 3600)
        assert await outcomes(gateway, batch["id"]) == {"succeeded": 12, "expired": 18}


@EACH_PROVIDER
async def test_a_job_that_is_not_found_while_it_is_collected_is_collected_later(tmp_path: Path, provider: Any) -> None:
    async with native_gateway(tmp_path, provider) as gateway:
        await gateway.providers.play(refuse_downloads=10_000)
        batch = await gateway.app.create(*IDS)
        await gateway.jobs_upstream()
        await gateway.pass_time(40, CALLS)
        while not any(job["state"] == "collecting" for job in (await gateway.progress(batch["id"]))["jobs"]):
            await gateway.pass_time(1.0, CALLS)
        await gateway.providers.play(outage=404)
        for _ in range(20):
            await gateway.pass_time(1.0, CALLS)
        await gateway.providers.play()
        await ended_within(gateway, batch["id"], 1800)
        (job,) = (await gateway.progress(batch["id"]))["jobs"]
        assert (job["state"], job["answered"]) == ("done", len(IDS))


async def test_results_of_jobs_count_in_the_metrics_as_all_others(tmp_path: Path) -> None:
    async with native_gateway(tmp_path, "openai") as gateway:
        batch = await gateway.app.create(*IDS)
        await gateway.until_ended(batch["id"])
        assert [job["answered"] for job in (await gateway.progress(batch["id"]))["jobs"]] == [len(IDS)]
        async with gateway.app.client.get(f"{gateway.app.url}/metrics") as response:
            lines = (await response.text()).splitlines()
        finished = [line for line in lines if line.startswith("batchgate_requests_finished_total")]
        assert [line.split()[-1] for line in finished if 'outcome="succeeded"' in line] == ["30.0"]
