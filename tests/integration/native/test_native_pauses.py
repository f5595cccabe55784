"""A paused batch submits no job of a provider's batch API, and leaves those alone that the provider has."""

from pathlib import Path

from tests.integration.native.native_gateway import MIN_REQUESTS, NativeGateway, native_gateway

IDS = [f"request-{number}" for number in range(MIN_REQUESTS)]
HOUR = 3600.0


async def control(gateway: NativeGateway, action: str, batch_id: str) -> None:
    status, answer = await gateway.app.call("POST", f"/api/batches/{batch_id}/{action}")
    assert status == 200, answer


async def pass_hours(gateway: NativeGateway, hours: float) -> None:
    for _ in range(round(12 * hours)):
        await gateway.pass_time(HOUR / 12)


async def test_a_paused_batch_ends_when_the_job_that_the_provider_has_answers_all_of_its_requests(
    tmp_path: Path,
) -> None:
    async with native_gateway(tmp_path) as gateway:
        await gateway.providers.configure(running=600)
        batch = await gateway.create(*IDS)
        await gateway.jobs_upstream()
        await control(gateway, "pause", batch["id"])
        ended = await gateway.until_ended(batch["id"])
        assert ended["request_counts"]["succeeded"] == len(IDS)
        assert ended["ended_at"] < ended["expires_at"]


async def test_a_planned_job_of_a_paused_batch_waits_and_is_submitted_when_it_is_resumed(tmp_path: Path) -> None:
    async with native_gateway(tmp_path) as gateway:
        batch = await gateway.create(*IDS)
        await control(gateway, "pause", batch["id"])
        early = len(await gateway.providers.jobs())  # the job may have been submitted before the pause
        await pass_hours(gateway, 1)
        assert len(await gateway.providers.jobs()) == early
        await control(gateway, "resume", batch["id"])
        ended = await gateway.until_ended(batch["id"])
        assert ended["request_counts"]["succeeded"] == len(IDS)
        assert len(await gateway.providers.jobs()) == 1


async def test_a_job_whose_creation_is_refused_is_not_tried_again_while_its_batch_is_paused(tmp_path: Path) -> None:
    async with native_gateway(tmp_path) as gateway:
        await gateway.providers.play(refuse_creates=1000)
        batch = await gateway.create(*IDS)
        while [job["state"] for job in (await gateway.progress(batch["id"]))["jobs"]] != ["submitting"]:
            await gateway.pass_time(1.0)
        await control(gateway, "pause", batch["id"])
        await gateway.pass_time(60.0)
        await gateway.providers.play()
        await pass_hours(gateway, 1)
        assert await gateway.providers.jobs() == []
        await control(gateway, "resume", batch["id"])
        ended = await gateway.until_ended(batch["id"])
        assert ended["request_counts"]["succeeded"] == len(IDS)
        assert len(await gateway.providers.jobs()) == 1


async def test_the_job_of_a_paused_batch_is_rescued_only_after_it_is_resumed(tmp_path: Path) -> None:
    # A rescue cancels the job so that direct calls answer in its place. A paused batch makes none.
    async with native_gateway(tmp_path) as gateway:
        await gateway.providers.configure(running=100 * HOUR)
        batch = await gateway.create(*IDS)
        await gateway.jobs_upstream()
        await control(gateway, "pause", batch["id"])
        await pass_hours(gateway, 23.75)
        assert [job.state for job in await gateway.providers.jobs()] == ["in_progress"]
        await control(gateway, "resume", batch["id"])
        ended = await gateway.until_ended(batch["id"])
        assert ended["request_counts"]["succeeded"] == len(IDS)
        assert [job.state for job in await gateway.providers.jobs()] == ["cancelled"]


async def test_requests_that_a_job_left_unanswered_wait_until_the_batch_is_resumed(tmp_path: Path) -> None:
    async with native_gateway(tmp_path) as gateway:
        await gateway.providers.play(fail_with="invalid_request")
        batch = await gateway.create(*IDS)
        await gateway.jobs_upstream()
        await control(gateway, "pause", batch["id"])
        while (await gateway.progress(batch["id"]))["jobs"][0]["state"] != "failed":
            await gateway.pass_time(60.0)
        await pass_hours(gateway, 1)
        assert (await gateway.progress(batch["id"]))["succeeded"] == 0
        await control(gateway, "resume", batch["id"])
        ended = await gateway.until_ended(batch["id"])
        assert ended["request_counts"]["succeeded"] == len(IDS)
