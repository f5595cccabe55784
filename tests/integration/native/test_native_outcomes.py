"""Every request of a batch gets one result, however its jobs end."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.integration.native.native_gateway import KEY, NativeGateway, native_gateway
from tests.support.running_app import BATCHES, create_body

IDS = [f"request-{number}" for number in range(30)]
EACH_PROVIDER = pytest.mark.parametrize("provider", ["openai", "anthropic"])
FORMS = ["openai", "anthropic", "bedrock", "mistral", "vertex", "xai", "openrouter", "fireworks", "gemini", "cohere"]
"""One provider for each form of a batch API."""
EACH_FORM = pytest.mark.parametrize("provider", FORMS)
EACH_THAT_EXPIRES_IN_PART = pytest.mark.parametrize("provider", [*FORMS[:5], "fireworks"])
EACH_THAT_CANCELS_IN_PART = pytest.mark.parametrize("provider", [*FORMS[:5], "cohere"])
EACH_LANE = pytest.mark.parametrize("lane", ["auto", "native"])


async def outcomes(gateway: NativeGateway, batch_id: str) -> Counter[str]:
    """Return how many results of each type a batch has; check that they are in order and that no id comes twice."""
    results = await gateway.app.results(batch_id)
    assert [result["custom_id"] for result in results] == IDS
    return Counter(result["result"]["type"] for result in results)


async def jobs_of(gateway: NativeGateway, batch_id: str) -> list[tuple[str, int]]:
    return [(job["state"], job["answered"]) for job in (await gateway.progress(batch_id))["jobs"]]


@pytest.mark.parametrize("provider", [*FORMS, "groq"])
async def test_a_batch_travels_in_one_job_and_ends_with_its_results_in_order(tmp_path: Path, provider: Any) -> None:
    async with native_gateway(tmp_path, provider) as gateway:
        batch = await gateway.create(*IDS)
        (job,) = await gateway.jobs_upstream()
        assert not any(custom_id in str(job) for custom_id in IDS), "a caller's id left the gateway"
        ended = await gateway.until_ended(batch["id"])
        assert ended["request_counts"]["succeeded"] == len(IDS)
        assert await outcomes(gateway, batch["id"]) == {"succeeded": len(IDS)}
        (shown,) = (await gateway.progress(batch["id"]))["jobs"]
        assert (shown["account"], shown["state"], shown["answered"]) == (provider, "done", len(IDS))
        assert (shown["upstream_id"], shown["reason"]) == (job.id, None)


@EACH_PROVIDER
async def test_a_batch_of_the_direct_lane_makes_no_job(tmp_path: Path, provider: Any) -> None:
    async with native_gateway(tmp_path, provider) as gateway:
        batch = await gateway.create(*IDS, headers={"batchgate-lane": "direct"})
        await gateway.until_ended(batch["id"])
        assert await outcomes(gateway, batch["id"]) == {"succeeded": len(IDS)}
        assert await gateway.providers.jobs() == []
        assert await jobs_of(gateway, batch["id"]) == []


async def test_a_model_without_a_discount_runs_directly_unless_the_native_lane_is_asked_for(tmp_path: Path) -> None:
    async with native_gateway(tmp_path, "xai") as gateway:
        batch = await gateway.app.create(*IDS)
        await gateway.until_ended(batch["id"])
        assert await jobs_of(gateway, batch["id"]) == []
        asked = await gateway.app.create(*IDS, headers={"batchgate-lane": "native"})
        await gateway.until_ended(asked["id"])
        assert await jobs_of(gateway, asked["id"]) == [("done", len(IDS))]


@EACH_PROVIDER
async def test_a_small_batch_runs_directly_unless_it_asks_for_the_native_lane(tmp_path: Path, provider: Any) -> None:
    async with native_gateway(tmp_path, provider) as gateway:
        small = await gateway.create("a", "b")
        await gateway.until_ended(small["id"])
        assert await jobs_of(gateway, small["id"]) == []
        asked = await gateway.create("a", "b", headers={"batchgate-lane": "native"})
        await gateway.until_ended(asked["id"])
        assert await jobs_of(gateway, asked["id"]) == [("done", 2)]


@EACH_PROVIDER
@pytest.mark.parametrize("fault", [{"doubled_rows": [0, 7]}, {"foreign_rows": 3}, {"reorder_rows": True}])
async def test_doubled_foreign_and_reordered_rows_change_nothing(
    tmp_path: Path, provider: Any, fault: dict[str, Any]
) -> None:
    async with native_gateway(tmp_path, provider) as gateway:
        await gateway.providers.play(**fault)
        batch = await gateway.create(*IDS)
        await gateway.until_ended(batch["id"])
        assert await outcomes(gateway, batch["id"]) == {"succeeded": len(IDS)}
        assert await jobs_of(gateway, batch["id"]) == [("done", len(IDS))]


@EACH_FORM
@EACH_LANE
async def test_rows_that_are_missing_run_directly_or_end_with_an_error(
    tmp_path: Path, provider: Any, lane: str
) -> None:
    async with native_gateway(tmp_path, provider, lane=lane) as gateway:
        await gateway.providers.play(missing_rows=[3, 4])
        batch = await gateway.create(*IDS)
        await gateway.until_ended(batch["id"])
        expected = {"succeeded": 30} if lane == "auto" else {"succeeded": 28, "errored": 2}
        assert await outcomes(gateway, batch["id"]) == expected
        assert (await jobs_of(gateway, batch["id"]))[0][0] == "failed"


@EACH_THAT_EXPIRES_IN_PART
@EACH_LANE
async def test_a_job_that_expires_keeps_the_results_that_it_has(tmp_path: Path, provider: Any, lane: str) -> None:
    async with native_gateway(tmp_path, provider, lane=lane) as gateway:
        await gateway.providers.play(expire_at=0.5)
        batch = await gateway.create(*IDS)
        await gateway.until_ended(batch["id"])
        expected = {"succeeded": 30} if lane == "auto" else {"succeeded": 15, "expired": 15}
        assert await outcomes(gateway, batch["id"]) == expected
        assert (await jobs_of(gateway, batch["id"]))[0] == ("failed", 15)


@EACH_LANE
async def test_a_job_that_fails_at_validation_runs_directly_or_ends_with_errors(tmp_path: Path, lane: str) -> None:
    async with native_gateway(tmp_path, "openai", lane=lane) as gateway:
        await gateway.providers.play(fail_with="model_not_found")
        batch = await gateway.create(*IDS)
        await gateway.until_ended(batch["id"])
        assert await outcomes(gateway, batch["id"]) == {"succeeded" if lane == "auto" else "errored": 30}
        (job,) = (await gateway.progress(batch["id"]))["jobs"]
        assert job["state"] == "failed"
        assert "model_not_found" in job["reason"]


@EACH_THAT_CANCELS_IN_PART
@EACH_LANE
async def test_a_canceled_batch_cancels_its_job_and_keeps_what_was_answered(
    tmp_path: Path, provider: Any, lane: str
) -> None:
    async with native_gateway(tmp_path, provider, lane=lane) as gateway:
        await gateway.providers.configure(running=1000, file_pending=0)
        batch = await gateway.create(*IDS)
        await gateway.jobs_upstream()
        await gateway.pass_time(505)
        assert (await gateway.app.call("POST", f"{BATCHES}/{batch['id']}/cancel"))[0] == 200
        while (await gateway.progress(batch["id"]))["jobs"][0]["reason"] is None:
            pass  # no time passes for the provider until it is asked to cancel the job
        await gateway.until_ended(batch["id"])
        found = await outcomes(gateway, batch["id"])
        assert found["succeeded"] + found["canceled"] == len(IDS)
        assert found["canceled"] > 0
        (job,) = (await gateway.progress(batch["id"]))["jobs"]
        assert job["answered"] == found["succeeded"] > 0
        assert job["reason"] == "the batch was canceled"


async def test_a_job_that_can_only_be_deleted_loses_its_answers(tmp_path: Path) -> None:
    async with native_gateway(tmp_path, "fireworks") as gateway:
        await gateway.providers.configure(running=20_000)
        batch = await gateway.create(*IDS)
        await gateway.jobs_upstream()
        await gateway.pass_time(505)
        assert (await gateway.app.call("POST", f"{BATCHES}/{batch['id']}/cancel"))[0] == 200
        await gateway.until_ended(batch["id"])
        assert await outcomes(gateway, batch["id"]) == {"canceled": len(IDS)}
        assert await jobs_of(gateway, batch["id"]) == [("failed", 0)]
        assert [job.state for job in await gateway.providers.jobs()] == ["cancelled"]


async def test_a_job_that_cannot_be_canceled_is_left_after_ten_minutes(tmp_path: Path) -> None:
    async with native_gateway(tmp_path, "openrouter") as gateway:
        await gateway.providers.configure(running=20_000)
        batch = await gateway.create(*IDS)
        await gateway.jobs_upstream()
        await gateway.pass_time(505)
        assert (await gateway.app.call("POST", f"{BATCHES}/{batch['id']}/cancel"))[0] == 200
        await gateway.until_ended(batch["id"])
        assert await outcomes(gateway, batch["id"]) == {"canceled": len(IDS)}
        (job,) = (await gateway.progress(batch["id"]))["jobs"]
        assert (job["answered"], job["reason"]) == (0, "the batch was canceled")
        assert [job.state for job in await gateway.providers.jobs()] == ["in_progress"]


@pytest.mark.parametrize("provider", ["openrouter", "gemini"])
@EACH_LANE
async def test_a_job_whose_answers_are_lost_when_it_expires_runs_directly_or_expires(
    tmp_path: Path, provider: str, lane: str
) -> None:
    async with native_gateway(tmp_path, provider, lane=lane) as gateway:
        await gateway.providers.play(expire_at=0.5)
        batch = await gateway.create(*IDS)
        await gateway.until_ended(batch["id"])
        assert await outcomes(gateway, batch["id"]) == {"succeeded" if lane == "auto" else "expired": len(IDS)}
        assert (await jobs_of(gateway, batch["id"]))[0] == ("failed", 0)


async def test_the_results_of_a_canceled_job_are_awaited_while_its_counters_may_turn(tmp_path: Path) -> None:
    async with native_gateway(tmp_path, "xai") as gateway:
        await gateway.providers.configure(running=1000, cancelling=90)
        await gateway.providers.play(cancellation="loses_race")
        batch = await gateway.create(*IDS)
        await gateway.jobs_upstream()
        await gateway.pass_time(505)
        assert (await gateway.app.call("POST", f"{BATCHES}/{batch['id']}/cancel"))[0] == 200
        while (await gateway.progress(batch["id"]))["jobs"][0]["reason"] is None:
            pass  # no time passes for the provider until it is asked to cancel the job
        await gateway.until_ended(batch["id"])
        assert await outcomes(gateway, batch["id"]) == {"succeeded": len(IDS)}


@pytest.mark.parametrize("answer", ["close", "500"])
async def test_a_job_whose_create_got_no_answer_is_found_and_not_made_twice(tmp_path: Path, answer: str) -> None:
    async with native_gateway(tmp_path, "openai") as gateway:
        await gateway.providers.play(lose_create_answer=answer, hide_in_list=60)
        batch = await gateway.create(*IDS)
        await gateway.until_ended(batch["id"])
        assert await outcomes(gateway, batch["id"]) == {"succeeded": len(IDS)}
        assert [job.paid for job in await gateway.providers.jobs()] == [len(IDS)]


@EACH_FORM
async def test_results_that_are_cut_off_or_come_late_are_read_again(tmp_path: Path, provider: Any) -> None:
    async with native_gateway(tmp_path, provider) as gateway:
        await gateway.providers.play(
            cut_downloads=2, refuse_downloads=1, late_output_file=2, unknown_status="pondering"
        )
        batch = await gateway.create(*IDS)
        await gateway.until_ended(batch["id"])
        assert await outcomes(gateway, batch["id"]) == {"succeeded": len(IDS)}
        assert await jobs_of(gateway, batch["id"]) == [("done", len(IDS))]


async def test_results_that_come_late_are_awaited_after_a_long_run_too(tmp_path: Path) -> None:
    async with native_gateway(tmp_path, "openai", lane="native") as gateway:
        await gateway.providers.configure(running=3600)
        await gateway.providers.play(late_output_file=2)
        batch = await gateway.create(*IDS)
        await gateway.until_ended(batch["id"], step=60.0)
        assert await jobs_of(gateway, batch["id"]) == [("done", len(IDS))]


@EACH_PROVIDER
async def test_a_job_that_stalls_is_rescued_before_the_batch_expires(tmp_path: Path, provider: Any) -> None:
    async with native_gateway(tmp_path, provider) as gateway:
        await gateway.providers.play(stall_at=0.4)
        batch = await gateway.create(*IDS)
        await gateway.jobs_upstream()
        for _ in range(24 * 6 - 3):
            await gateway.pass_time(600)
        while (await gateway.progress(batch["id"]))["jobs"][0]["reason"] is None:
            await gateway.pass_time(2.0)
        ended = await gateway.until_ended(batch["id"], step=0.2)  # what is left takes real time
        assert await outcomes(gateway, batch["id"]) == {"succeeded": len(IDS)}
        assert ended["ended_at"] < ended["expires_at"]
        (job,) = (await gateway.progress(batch["id"]))["jobs"]
        assert (job["answered"], job["reason"]) == (12, "the time left is what the direct lane needs")


async def test_a_failing_batch_api_is_a_health_problem(tmp_path: Path) -> None:
    async with native_gateway(tmp_path, "anthropic") as gateway:
        await gateway.providers.play(outage=522)
        await gateway.create(*IDS)
        problem = await problem_of_jobs(gateway)
        assert problem["code"] == "provider_failing"
        assert problem["message"].endswith("(522)")


async def problem_of_jobs(gateway: NativeGateway) -> dict[str, Any]:
    """Let time pass until the native jobs have a problem, and return it."""
    while True:
        _, health = await gateway.app.call("GET", "/health")
        for problem in health["problems"]:
            if problem["component"] == "native jobs":
                assert isinstance(problem, dict)
                return problem
        await gateway.pass_time(0.1)


@pytest.mark.parametrize("lane", ["direct", "auto"])
async def test_an_answer_that_repeats_the_key_of_the_account_is_redacted_in_both_lanes(
    tmp_path: Path, lane: str
) -> None:
    async with native_gateway(tmp_path, "openai", lane=lane) as gateway:
        body = create_body(*IDS)
        for request in body["requests"]:
            request["params"]["messages"] = [{"role": "user", "content": f"Repeat {KEY}"}]
        _, batch = await gateway.app.call("POST", BATCHES, json=body)
        await gateway.until_ended(batch["id"])
        assert len((await gateway.progress(batch["id"]))["jobs"]) == (lane == "auto")
        results = await gateway.app.results(batch["id"])
        assert {result["result"]["type"] for result in results} == {"succeeded"}
        assert KEY not in str(results)
