"""Results that cannot be read are given up, or downloaded seldom, and the progress says why they are not there."""

from collections import Counter
from pathlib import Path

import pytest

from tests.integration.native.native_gateway import NativeGateway, native_gateway
from tests.support.scrape import scrape

IDS = [f"request-{number}" for number in range(30)]


async def downloads(gateway: NativeGateway) -> float:
    """Count the attempts to read the results of jobs."""
    samples = (await scrape(gateway.app)).samples
    named = {labels: value for (name, labels), value in samples.items() if name == "batchgate_native_calls_total"}
    return sum(value for labels, value in named.items() if ("call", "collect") in labels)


@pytest.mark.parametrize(("lane", "outcome"), [("auto", "succeeded"), ("native", "errored")])
async def test_results_that_no_download_can_make_usable_are_given_up(tmp_path: Path, lane: str, outcome: str) -> None:
    async with native_gateway(tmp_path, lane=lane) as gateway:
        await gateway.providers.play(foreign_rows=5_000, missing_rows=list(range(len(IDS))))
        batch = await gateway.create(*IDS)
        await gateway.until_ended(batch["id"])
        results = await gateway.app.results(batch["id"])
        assert Counter(result["result"]["type"] for result in results) == {outcome: len(IDS)}
        (job,) = (await gateway.progress(batch["id"]))["jobs"]
        assert job["state"] == "failed"
        assert job["reason"].startswith("its results cannot be read: The provider's result file is not usable"), job
        assert await downloads(gateway) == 4


async def test_results_that_may_become_readable_are_downloaded_every_five_minutes(tmp_path: Path) -> None:
    async with native_gateway(tmp_path) as gateway:
        await gateway.providers.play(cut_downloads=10_000)
        batch = await gateway.create(*IDS)
        while not await downloads(gateway):
            await gateway.pass_time()
        for _ in range(4 * 60):
            await gateway.pass_time(60)
        assert await downloads(gateway) < 4 * 12 + 9
        (job,) = (await gateway.progress(batch["id"]))["jobs"]
        assert job["state"] == "collecting"
        assert job["reason"].startswith("its results cannot be read yet: "), job
        await gateway.providers.play()
        ended = await gateway.until_ended(batch["id"])
        assert ended["request_counts"]["succeeded"] == len(IDS)
        (job,) = (await gateway.progress(batch["id"]))["jobs"]
        assert (job["state"], job["reason"]) == ("done", None)
