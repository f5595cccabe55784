"""Rescues from jobs that do not end as they should: in time, and with each answer counted once."""

from pathlib import Path

import pytest

from batchgate.account_settings import PriceSettings
from tests.integration.native.native_gateway import NativeGateway, native_gateway
from tests.support.running_app import BATCHES

IDS = [f"request-{number}" for number in range(30)]
CALLS = 40
"""Calls to the gateway between two steps: a batch must not miss a time limit because the machine is busy."""


async def until_rescued(gateway: NativeGateway, batch_id: str) -> None:
    """Let a day pass, the last hour in small steps, until a batch has ended."""
    await gateway.jobs_upstream()
    for _ in range(23 * 6):
        await gateway.pass_time(600)
    while (await gateway.app.call("GET", f"{BATCHES}/{batch_id}"))[1]["processing_status"] != "ended":
        await gateway.pass_time(20, CALLS)


async def test_results_that_were_stored_before_a_job_was_given_up_are_not_paid_twice(tmp_path: Path) -> None:
    prices = {"simulated": PriceSettings(input=1, output=1)}
    async with native_gateway(tmp_path, "openai", prices=prices) as gateway:
        await gateway.providers.configure(running=30 * 3600, cancelling=60)
        await gateway.providers.play(cancellation="loses_race", cut_downloads=10_000)
        batch = await gateway.app.create(*IDS)
        await until_rescued(gateway, batch["id"])
        before = await gateway.progress(batch["id"])
        (job,) = before["jobs"]
        stored = job["answered"]
        assert (job["state"], before["succeeded"]) == ("failed", len(IDS))
        assert 0 < stored < len(IDS)
        price = (before["spent"]["direct_usd"] / (len(IDS) - stored)) / 2
        assert before["spent"]["native_usd"] == pytest.approx(stored * price)
        await gateway.providers.play()
        while not (await gateway.progress(batch["id"]))["paid_twice"]:
            await gateway.pass_time(300)
        after = await gateway.progress(batch["id"])
        assert after["paid_twice"] == len(IDS) - stored
        assert after["spent"]["native_usd"] == pytest.approx(len(IDS) * price)


async def test_a_job_whose_cancel_takes_too_long_leaves_time_for_the_direct_calls(tmp_path: Path) -> None:
    async with native_gateway(tmp_path, "openai") as gateway:
        await gateway.providers.configure(running=30 * 3600, cancelling=48 * 3600)
        batch = await gateway.app.create(*IDS)
        await until_rescued(gateway, batch["id"])
        assert (await gateway.progress(batch["id"]))["succeeded"] == len(IDS)
