"""A row for which the provider refuses the whole job costs the other rows neither their lane nor their answers."""

from pathlib import Path
from typing import Any

import pytest

from tests.integration.native.native_gateway import NativeGateway, native_gateway
from tests.support import openai_batches
from tests.support.running_app import BATCHES, params

IDS = [f"request-{number}" for number in range(30)]
BAD = ["request-3", "request-29"]
REFUSED = "This row is refused."
EACH_LANE = pytest.mark.parametrize("lane", ["auto", "native"])
FIRST_OF_SECOND_SHARD = 500


async def create(gateway: NativeGateway, ids: list[str], bad: list[str]) -> str:
    """Create a batch, some of whose requests the provider refuses at validation."""
    good, refused = params(), params()
    refused["messages"] = [{"role": "user", "content": REFUSED}]
    requests = [{"custom_id": custom_id, "params": refused if custom_id in bad else good} for custom_id in ids]
    headers = {"batchgate-fail-fast": "0"}  # what the job could not send fails alike
    status, batch = await gateway.app.call("POST", BATCHES, json={"requests": requests}, headers=headers)
    assert status == 200, batch
    return str(batch["id"])


async def only_job(gateway: NativeGateway, batch_id: str) -> dict[str, Any]:
    (job,) = (await gateway.progress(batch_id))["jobs"]
    assert isinstance(job, dict)
    return job


async def check(gateway: NativeGateway, batch_id: str, bad: list[str], lane: str) -> None:
    """Check that only the refused requests were not answered by a job."""
    results = {line["custom_id"]: line["result"] for line in await gateway.app.results(batch_id)}
    errored = {custom_id for custom_id, result in results.items() if result["type"] == "errored"}
    assert errored == (set(bad) if lane == "native" else set())
    assert sum(job.paid for job in await gateway.providers.jobs()) == len(results) - len(bad)
    job = await only_job(gateway, batch_id)
    assert job["answered"] == len(results) - len(bad)
    assert job["reason"].startswith(f"the provider refused {len(bad)} of its requests: "), job


@EACH_LANE
async def test_a_job_whose_validation_names_rows_is_sent_again_without_them(tmp_path: Path, lane: str) -> None:
    async with native_gateway(tmp_path, "openai", lane=lane) as gateway:
        await gateway.providers.configure(refused_text=REFUSED)
        batch_id = await create(gateway, IDS, BAD)
        await gateway.until_ended(batch_id)
        await check(gateway, batch_id, BAD, lane)


@EACH_LANE
async def test_a_refused_row_that_is_alone_in_its_shard_is_left_out_too(tmp_path: Path, lane: str) -> None:
    async with native_gateway(tmp_path, "openai", lane=lane) as gateway:
        await gateway.providers.configure(refused_text=REFUSED)
        ids = [f"request-{number}" for number in range(FIRST_OF_SECOND_SHARD + 1)]
        batch_id = await create(gateway, ids, ids[-1:])
        await gateway.until_ended(batch_id)
        await check(gateway, batch_id, ids[-1:], lane)


@EACH_LANE
async def test_a_file_whose_upload_is_refused_for_some_rows_is_uploaded_without_them(tmp_path: Path, lane: str) -> None:
    """Mistral refuses a whole file for a role that it does not know; the simulated live API takes any role."""
    async with native_gateway(tmp_path, "mistral", lane=lane) as gateway:
        lines = [openai_batches.chat_line(custom_id) for custom_id in IDS]
        for custom_id in BAD:
            lines[IDS.index(custom_id)]["body"]["messages"][0]["role"] = "developer"
        batch = await openai_batches.create(gateway.app, *lines)
        while (ended := await openai_batches.retrieve(gateway.app, batch["id"]))["status"] != "completed":
            await gateway.pass_time()
        refused = len(BAD) if lane == "native" else 0
        assert ended["request_counts"] == {"total": len(IDS), "completed": len(IDS) - refused, "failed": refused}
        assert [job.paid for job in await gateway.providers.jobs()] == [len(IDS) - len(BAD)]
        job = await only_job(gateway, batch["id"])
        assert (job["state"], job["answered"]) == ("done", len(IDS) - len(BAD))
        assert job["reason"].startswith("the provider refused 2 of its requests: 3.body.messages: "), job


@EACH_LANE
async def test_a_job_whose_refusals_name_wrong_rows_ends_after_some_rounds(tmp_path: Path, lane: str) -> None:
    async with native_gateway(tmp_path, "openai", lane=lane) as gateway:
        await gateway.providers.configure(refused_text=REFUSED)
        await gateway.providers.play(shift_line_numbers=-2)
        batch_id = await create(gateway, IDS, BAD[1:])
        ended = await gateway.until_ended(batch_id)
        assert ended["request_counts"]["succeeded" if lane == "auto" else "errored"] == len(IDS)
        assert len(await gateway.providers.jobs()) == 6
        assert (await only_job(gateway, batch_id))["state"] == "failed"
