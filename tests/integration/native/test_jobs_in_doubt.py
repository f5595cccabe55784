"""Jobs of Anthropic whose create call got no answer: no label shows whose they are, only the ids in their results."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.integration.native.lane_client import BASES
from tests.integration.native.native_gateway import KEY, NativeGateway, native_gateway
from tests.support.openai_batches import BATCHES as CHAT_BATCHES
from tests.support.openai_batches import chat_line, create, download_lines, retrieve
from tests.support.running_app import BATCHES

IDS = [f"request-{number}" for number in range(30)]
CALLS = 40
"""Calls to the gateway between two steps: a batch must not miss a time limit because the machine is busy."""
HEADERS = {"x-api-key": KEY, "anthropic-version": "2023-06-01"}


async def outcomes(gateway: NativeGateway, batch_id: str) -> Counter[str]:
    """Return how many results of each type a batch has; check that they are in order and that no id comes twice."""
    results = await gateway.app.results(batch_id)
    assert [result["custom_id"] for result in results] == IDS
    return Counter(result["result"]["type"] for result in results)


async def only_job(gateway: NativeGateway, batch_id: str) -> dict[str, Any]:
    """Return the only job of a batch."""
    (job,) = (await gateway.progress(batch_id))["jobs"]
    assert isinstance(job, dict)
    return job


async def until_in_doubt(gateway: NativeGateway, batch_id: str) -> None:
    """Let time pass until a job at the provider may be the one of a batch."""
    while (await only_job(gateway, batch_id))["reason"] is None:
        await gateway.pass_time()


def message_batches(gateway: NativeGateway) -> str:
    return f"{gateway.providers.url}{BASES['anthropic']}/v1/messages/batches"


async def foreign_job(gateway: NativeGateway) -> str:
    """Create a job of the same size with the same key, as another program would, and return its id."""
    params = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}
    body = {"requests": [{"custom_id": custom_id, "params": params} for custom_id in IDS]}
    async with gateway.providers.http.post(message_batches(gateway), json=body, headers=HEADERS) as response:
        created = await response.json()
        assert response.status == 200, created
        return str(created["id"])


async def paid_by_job(gateway: NativeGateway) -> dict[str, int]:
    return {job.id: job.paid for job in await gateway.providers.jobs()}


async def test_a_job_of_somebody_else_is_not_taken_for_ours_nor_deleted(tmp_path: Path) -> None:
    async with native_gateway(tmp_path, "anthropic") as gateway:
        await gateway.providers.play(lose_create_answer="500", hide_in_list=1e6, jobs=1)
        batch = await gateway.app.create(*IDS)
        await gateway.jobs_upstream()
        foreign = await foreign_job(gateway)
        await gateway.until_ended(batch["id"])
        assert await outcomes(gateway, batch["id"]) == {"succeeded": len(IDS)}
        job = await only_job(gateway, batch["id"])
        assert (job["state"], job["answered"]) == ("done", len(IDS))
        assert job["upstream_id"] != foreign
        async with gateway.providers.http.get(f"{message_batches(gateway)}/{foreign}", headers=HEADERS) as response:
            assert response.status == 200, "the job of somebody else was deleted"


async def test_jobs_of_the_same_size_whose_creates_got_no_answer_each_find_their_own(tmp_path: Path) -> None:
    async with native_gateway(tmp_path, "anthropic") as gateway:
        await gateway.providers.configure(running=1000)
        await gateway.providers.play(lose_create_answer="close")
        batches = [await gateway.app.create(*IDS) for _ in range(3)]
        jobs = {job.id for job in await gateway.jobs_upstream(3)}
        paid: dict[str, int] = {}
        for batch in batches:
            await until_in_doubt(gateway, batch["id"])
        for batch in batches:
            paid |= await paid_by_job(gateway)
            await gateway.until_ended(batch["id"], step=60)
            assert await outcomes(gateway, batch["id"]) == {"succeeded": len(IDS)}
        found = [await only_job(gateway, batch["id"]) for batch in batches]
        assert {job["upstream_id"] for job in found} == jobs == paid.keys()
        assert [job["answered"] for job in found] == [len(IDS)] * 3


async def test_a_job_of_ours_that_runs_does_not_delay_one_of_the_same_size(tmp_path: Path) -> None:
    async with native_gateway(tmp_path, "anthropic") as gateway:
        await gateway.providers.configure(running=40_000)
        running = await gateway.app.create(*IDS)
        await gateway.jobs_upstream()
        await gateway.providers.configure()
        await gateway.providers.play(lose_create_answer="500", hide_in_list=1e6, jobs=1)
        batch = await gateway.app.create(*IDS)
        await gateway.jobs_upstream(2)
        await gateway.until_ended(batch["id"])
        assert (await only_job(gateway, batch["id"]))["state"] == "done"
        assert (await only_job(gateway, running["id"]))["state"] == "running"


async def test_a_job_whose_results_no_list_shows_is_found_when_it_has_ended(tmp_path: Path) -> None:
    async with native_gateway(tmp_path, "openrouter") as gateway:
        await gateway.providers.play(lose_create_answer="close", late_output_file=2)
        batch = await gateway.create(*IDS)
        (upstream,) = await gateway.jobs_upstream()
        await gateway.until_ended(batch["id"])
        assert await outcomes(gateway, batch["id"]) == {"succeeded": len(IDS)}
        job = await only_job(gateway, batch["id"])
        assert (job["upstream_id"], job["answered"]) == (upstream.id, len(IDS))


async def test_a_job_without_its_unfit_requests_is_found(tmp_path: Path) -> None:
    async with native_gateway(tmp_path, "anthropic") as gateway:
        await gateway.providers.play(lose_create_answer="close")
        lines = [chat_line(custom_id) for custom_id in IDS]
        lines[7]["body"] |= {"n": 2}
        batch = await create(gateway.app, *lines)
        (job,) = await gateway.jobs_upstream()
        assert len(job.rows) == len(IDS) - 1
        while (await gateway.app.call("GET", f"{CHAT_BATCHES}/{batch['id']}"))[1]["status"] != "completed":
            await gateway.pass_time()
        _, ended = await gateway.app.call("GET", f"{CHAT_BATCHES}/{batch['id']}")
        assert [line["custom_id"] for line in await download_lines(gateway.app, ended["error_file_id"])] == [IDS[7]]
        shown = await only_job(gateway, batch["id"])
        assert (shown["upstream_id"], shown["answered"]) == (job.id, len(IDS) - 1)


async def test_a_job_that_was_made_twice_is_taken_once(tmp_path: Path) -> None:
    async with native_gateway(tmp_path, "anthropic") as gateway:
        await gateway.providers.play(lose_create_answer="close", accept_twice=True)
        batch = await gateway.app.create(*IDS)
        made = {job.id for job in await gateway.jobs_upstream(2)}
        await gateway.until_ended(batch["id"])
        assert await outcomes(gateway, batch["id"]) == {"succeeded": len(IDS)}
        assert (await only_job(gateway, batch["id"]))["upstream_id"] in made


@pytest.mark.parametrize("lane", ["auto", "native"])
async def test_a_canceled_batch_keeps_the_results_of_a_job_in_doubt(tmp_path: Path, lane: str) -> None:
    async with native_gateway(tmp_path, "anthropic", lane=lane) as gateway:
        await gateway.providers.configure(running=20_000)
        await gateway.providers.play(lose_create_answer="close")
        batch = await gateway.app.create(*IDS)
        await gateway.jobs_upstream()
        await until_in_doubt(gateway, batch["id"])
        assert (await gateway.app.call("POST", f"{BATCHES}/{batch['id']}/cancel"))[0] == 200
        await gateway.until_ended(batch["id"], step=300)
        assert await outcomes(gateway, batch["id"]) == {"succeeded": len(IDS)}


async def test_a_canceled_batch_ends_soon_after_its_expiry_although_a_job_in_doubt_has_not_ended(
    tmp_path: Path,
) -> None:
    async with native_gateway(tmp_path, "anthropic", lane="native") as gateway:
        await gateway.providers.configure(running=1e6)
        await gateway.providers.play(lose_create_answer="close")
        batch = await create(gateway.app, *map(chat_line, IDS), completion_window="3h")
        await gateway.jobs_upstream()
        await until_in_doubt(gateway, batch["id"])
        await gateway.app.call("POST", f"{CHAT_BATCHES}/{batch['id']}/cancel")
        for _ in range(18):
            await gateway.pass_time(600)
        assert (await retrieve(gateway.app, batch["id"]))["status"] == "cancelling"
        while (await retrieve(gateway.app, batch["id"]))["status"] == "cancelling":
            await gateway.pass_time(60, 10 * CALLS)  # a loaded machine needs some to end a batch
        ended = await retrieve(gateway.app, batch["id"])
        assert ended["request_counts"]["completed"] == 0
        assert ended["cancelled_at"] - ended["expires_at"] < 1800


async def test_a_job_in_doubt_whose_requests_were_rescued_is_found_and_deleted_when_it_has_ended(
    tmp_path: Path,
) -> None:
    async with native_gateway(tmp_path, "anthropic") as gateway:
        await gateway.providers.configure(running=1e6)
        await gateway.providers.play(lose_create_answer="close")
        batch = await gateway.app.create(*IDS)
        (job,) = await gateway.jobs_upstream()
        await until_in_doubt(gateway, batch["id"])
        for _ in range(24 * 6 - 3):
            await gateway.pass_time(600)
        await gateway.until_ended(batch["id"], step=2.0)
        assert await outcomes(gateway, batch["id"]) == {"succeeded": len(IDS)}
        assert (await only_job(gateway, batch["id"]))["state"] == "withdrawn"
        while await gateway.providers.jobs():
            await gateway.pass_time(300)
        while (await only_job(gateway, batch["id"]))["upstream_id"] is None:
            await gateway.pass_time(1.0)
        assert (await only_job(gateway, batch["id"]))["upstream_id"] == job.id


@pytest.mark.parametrize(("hidden", "creations"), [(0, 1), (200, 1), (400, 2)])
async def test_a_job_is_created_twice_only_if_the_list_does_not_show_it_for_four_minutes(
    tmp_path: Path, hidden: int, creations: int
) -> None:
    async with native_gateway(tmp_path, "anthropic") as gateway:
        await gateway.providers.play(lose_create_answer="close", hide_in_list=hidden, jobs=1)
        batch = await gateway.app.create(*IDS)
        (first,) = await gateway.jobs_upstream()
        paid: dict[str, int] = {}
        while (await gateway.app.call("GET", f"{BATCHES}/{batch['id']}"))[1]["processing_status"] != "ended":
            paid |= await paid_by_job(gateway)
            await gateway.pass_time(calls=10)
        assert await outcomes(gateway, batch["id"]) == {"succeeded": len(IDS)}
        assert len(paid) == creations
        assert ((await only_job(gateway, batch["id"]))["upstream_id"] == first.id) == (creations == 1)
