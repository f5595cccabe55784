"""A job that waits until others are uploaded is taken back when its batch is canceled, or needs its rescue."""

from pathlib import Path

import pytest

from tests.integration.native.native_gateway import NativeGateway, native_gateway
from tests.support.running_app import BATCHES

IDS = [f"request-{number}" for number in range(30)]


@pytest.fixture(autouse=True)
def _no_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the gateway transfer nothing, as while uploads take long."""
    monkeypatch.setattr("batchgate.engine.background_services.MAX_TRANSFERS", 0)


async def create_waiting(gateway: NativeGateway) -> str:
    batch = await gateway.create(*IDS)
    while [job["state"] for job in (await gateway.progress(batch["id"]))["jobs"]] != ["submitting"]:
        await gateway.pass_time(0.1)
    return str(batch["id"])


@pytest.mark.parametrize("lane", ["auto", "native"])
async def test_a_job_that_waits_for_its_upload_is_taken_back_at_once_when_its_batch_is_canceled(
    tmp_path: Path, lane: str
) -> None:
    async with native_gateway(tmp_path, lane=lane) as gateway:
        batch_id = await create_waiting(gateway)
        assert (await gateway.app.call("POST", f"{BATCHES}/{batch_id}/cancel"))[0] == 200
        ended = await gateway.app.ended(batch_id)  # no time passes
        assert ended["request_counts"]["canceled"] == len(IDS)
        assert [job["state"] for job in (await gateway.progress(batch_id))["jobs"]] == ["withdrawn"]


async def test_a_job_that_waits_for_its_upload_too_long_is_rescued(tmp_path: Path) -> None:
    async with native_gateway(tmp_path) as gateway:
        batch_id = await create_waiting(gateway)
        for _ in range(24 * 6 - 4):
            await gateway.pass_time(600)
        ended = await gateway.until_ended(batch_id)
        assert ended["request_counts"]["succeeded"] == len(IDS)
        assert [job["state"] for job in (await gateway.progress(batch_id))["jobs"]] == ["withdrawn"]
