"""What jobs leave at the provider is deleted, although the provider or the gateway fails meanwhile."""

from pathlib import Path
from typing import Any

import pytest

from tests.integration.native.lane_client import BASES
from tests.integration.native.native_gateway import KEY, NativeGateway, native_gateway
from tests.support.running_app import BATCHES

IDS = [f"request-{number}" for number in range(30)]


async def files(gateway: NativeGateway) -> list[str]:
    """List the files that the provider has."""
    url = f"{gateway.providers.url}{BASES['openai']}/files"
    async with gateway.providers.http.get(url, headers={"Authorization": f"Bearer {KEY}"}) as response:
        assert response.status == 200
        return [file["id"] for file in (await response.json())["data"]]


async def until_deleted(gateway: NativeGateway) -> None:
    """Let time pass until the provider has no file; without an end the test fails by its time limit."""
    while await files(gateway):
        await gateway.pass_time(60)


async def test_files_that_cannot_be_deleted_at_once_are_deleted_later(tmp_path: Path) -> None:
    async with native_gateway(tmp_path, "openai") as gateway:
        batch = await gateway.app.create(*IDS)
        await gateway.jobs_upstream()
        await gateway.providers.play(refuse_deletions=5)
        while (await gateway.progress(batch["id"]))["jobs"][0]["state"] != "done":
            await gateway.pass_time(1.0)
        assert await files(gateway)
        await until_deleted(gateway)


@pytest.mark.parametrize(
    ("fault", "state"), [({"fail_with": "model_not_found"}, "failed"), ({"refuse_creates": 3}, "done")]
)
async def test_the_file_of_a_job_that_failed_or_was_refused_at_first_is_deleted(
    tmp_path: Path, fault: dict[str, Any], state: str
) -> None:
    async with native_gateway(tmp_path, "openai") as gateway:
        await gateway.providers.play(**fault)
        batch = await gateway.app.create(*IDS)
        await gateway.until_ended(batch["id"])
        await until_deleted(gateway)
        assert [job["state"] for job in (await gateway.progress(batch["id"]))["jobs"]] == [state]


async def test_a_job_whose_cancel_failed_is_canceled_after_its_batch_has_ended(tmp_path: Path) -> None:
    async with native_gateway(tmp_path, "openai") as gateway:
        await gateway.providers.configure(running=100_000)
        batch = await gateway.app.create(*IDS)
        await gateway.jobs_upstream()
        while (await gateway.progress(batch["id"]))["jobs"][0]["state"] != "running":
            await gateway.pass_time(1.0)
        await gateway.providers.play(outage=503)
        await gateway.app.call("POST", f"{BATCHES}/{batch['id']}/cancel")
        await gateway.until_ended(batch["id"], step=60)
        await gateway.providers.play()
        assert [job.state for job in await gateway.providers.jobs()] == ["in_progress"]
        await until_deleted(gateway)
        assert [job.state for job in await gateway.providers.jobs()] == ["cancelled"]
