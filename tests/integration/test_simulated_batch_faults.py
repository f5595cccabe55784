"""Every fault that the simulated batch APIs play, as a client sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import aiohttp
import pytest

from batchgate.providers.simulator.batches.faults import BatchFaults
from tests.support.raw_batches import RawBatches
from tests.support.simulated_batches import DAY, SimulatedProviders, simulated_providers

HALF: Final = 20.0
"""Seconds after which a job has been validated and half of its rows are answered."""
END: Final = 60.0
FOUR: Final = ("a", "b", "c", "d")


@pytest.fixture
async def providers() -> AsyncIterator[SimulatedProviders]:
    async with simulated_providers() as providers:
        yield providers


@pytest.fixture
def openai(providers: SimulatedProviders) -> RawBatches:
    return RawBatches(providers)


# Creating


async def test_a_create_whose_answer_is_lost_makes_a_job(providers: SimulatedProviders, openai: RawBatches) -> None:
    await providers.play(lose_create_answer="close", jobs=1)
    with pytest.raises(aiohttp.ClientError):
        await openai.create("a", metadata={"job": "7"})
    await openai.create("a")  # only one job has the fault
    assert [job.metadata for job in await providers.jobs()] == [{"job": "7"}, None]


async def test_a_create_that_is_answered_with_500_makes_a_job(
    providers: SimulatedProviders, openai: RawBatches
) -> None:
    await providers.play(lose_create_answer="500")
    assert (await openai.try_create("file-x"))[0] == 500
    assert len(await providers.jobs()) == 1


async def test_a_create_that_is_accepted_twice_is_paid_twice(providers: SimulatedProviders, openai: RawBatches) -> None:
    await providers.play(accept_twice=True)
    await openai.create("a")
    await providers.advance(END)
    assert [(job.paid, [row.custom_id for row in job.rows]) for job in await providers.jobs()] == [(1, ["a"])] * 2


async def test_a_new_job_is_not_found_for_some_seconds(providers: SimulatedProviders, openai: RawBatches) -> None:
    await providers.play(hide_job=3, hide_in_list=10)
    batch = await openai.create("a")
    assert (await openai.call("GET", f"/batches/{batch['id']}"))[0] == 404
    await openai.after(3, batch)
    assert (await openai.call("GET", "/batches"))[1]["data"] == []
    await providers.advance(7)
    assert len((await openai.call("GET", "/batches"))[1]["data"]) == 1


async def test_creates_are_refused_with_429_a_number_of_times(
    providers: SimulatedProviders, openai: RawBatches
) -> None:
    await providers.play(refuse_creates=2, cannot_find_file=1)
    file_id = await openai.upload(b"{}")
    statuses = [(await openai.try_create(file_id))[0] for _ in range(4)]
    assert statuses == [429, 429, 400, 200]
    await providers.play(refuse_creates=1, retry_after=7)
    async with providers.http.post(f"{providers.url}/openai/v1/batches") as response:
        assert response.headers["retry-after"] == "7"


async def test_an_outage_answers_every_call_with_its_status(providers: SimulatedProviders, openai: RawBatches) -> None:
    await providers.play(outage=522, provider="openai")
    assert (await openai.call("GET", "/batches"))[0] == 522
    assert (await RawBatches(providers, "groq/openai/v1").call("GET", "/batches"))[0] == 200


# The course of a job


@pytest.mark.parametrize("code", ["token_limit_exceeded", "made_up"])
async def test_a_job_fails_with_a_code(providers: SimulatedProviders, openai: RawBatches, code: str) -> None:
    await providers.play(fail_with=code)
    batch = await openai.after(END, await openai.create("a"))
    assert (batch["status"], batch["errors"]["data"][0]["code"]) == ("failed", code)
    assert (batch["output_file_id"], batch["error_file_id"]) == (None, None)
    assert (await providers.jobs())[0].paid == 0


async def test_a_stalled_job_expires_with_the_rows_that_ran(providers: SimulatedProviders, openai: RawBatches) -> None:
    await providers.play(stall_at=0.5)
    batch = await openai.after(HALF * 100, await openai.create(*FOUR))
    assert (batch["status"], batch["request_counts"]["completed"]) == ("in_progress", 2)
    batch = await openai.after(DAY, batch)
    assert (batch["status"], batch["expired_at"]) == ("expired", batch["expires_at"])
    assert await openai.result_ids(batch) == (["a", "b"], ["c", "d"])
    assert {line["error"]["code"] for line in await openai.lines(batch["error_file_id"])} == {"batch_expired"}


async def test_a_job_expires_at_a_fraction_of_its_rows(providers: SimulatedProviders, openai: RawBatches) -> None:
    await providers.play(expire_at=0.25)
    batch = await openai.after(HALF, await openai.create(*FOUR))
    assert batch["status"] == "expired"
    assert await openai.result_ids(batch) == (["a"], ["b", "c", "d"])


async def test_a_job_that_is_never_validated_expires_without_rows(
    providers: SimulatedProviders, openai: RawBatches
) -> None:
    await providers.play(stall_in_validation=True)
    batch = await openai.after(DAY - 1, await openai.create("a"))
    assert batch["status"] == "validating"
    batch = await openai.after(1, batch)
    assert batch["status"] == "expired"
    assert await openai.result_ids(batch) == ([], [])


@pytest.mark.parametrize(
    ("fault", "expected", "results"),
    [
        ("keeps_results", ("cancelled", 2), (["a", "b"], ["c", "d"])),
        ("loses_results", ("cancelled", 0), ([], ["c", "d"])),
        ("loses_race", ("completed", 4), ([*FOUR], [])),
    ],
)
async def test_a_cancellation_keeps_or_loses_rows_or_comes_too_late(
    providers: SimulatedProviders, openai: RawBatches, fault: str, expected: object, results: object
) -> None:
    await providers.play(cancellation=fault)
    batch = await openai.after(HALF, await openai.create(*FOUR))
    await openai.call("POST", f"/batches/{batch['id']}/cancel")
    batch = await openai.after(END, batch)
    assert (batch["status"], batch["request_counts"]["completed"]) == expected
    assert await openai.result_ids(batch) == results
    assert (await providers.jobs())[0].paid == (4 if fault == "loses_race" else 2)


# What is shown


async def test_an_unknown_status_is_shown_while_the_job_runs(providers: SimulatedProviders, openai: RawBatches) -> None:
    await providers.play(unknown_status="pondering")
    batch = await openai.after(HALF, await openai.create("a"))
    assert batch["status"] == "pondering"
    assert (await openai.after(END, batch))["status"] == "completed"


@pytest.mark.parametrize(
    ("fault", "shown"),
    [
        ("null", None),
        ("zero", {"total": 0, "completed": 0, "failed": 0}),
        ("too_many", {"total": 1, "completed": 2, "failed": 0}),
    ],
)
async def test_counters_lie(providers: SimulatedProviders, openai: RawBatches, fault: str, shown: object) -> None:
    await providers.play(counters=fault)
    assert (await openai.after(END, await openai.create("a")))["request_counts"] == shown


async def test_line_numbers_lie_and_errors_are_a_plain_array(providers: SimulatedProviders, openai: RawBatches) -> None:
    await providers.play(shift_line_numbers=5, plain_errors=True)
    batch = await openai.after(END, await openai.create("a", "a"))
    assert [fault["line"] for fault in batch["errors"]] == [7]


async def test_the_output_file_comes_some_polls_after_the_end(
    providers: SimulatedProviders, openai: RawBatches
) -> None:
    await providers.play(late_output_file=2)
    batch = await openai.create("a")
    await providers.advance(END)
    shown = [await openai.retrieve(batch) for _ in range(3)]
    assert [(poll["status"], poll["output_file_id"] is None) for poll in shown] == [
        ("completed", True),
        ("completed", True),
        ("completed", False),
    ]


# The results


async def test_results_are_missing_doubled_foreign_and_reordered(
    providers: SimulatedProviders, openai: RawBatches
) -> None:
    await providers.play(missing_rows=[1], doubled_rows=[2], foreign_rows=1, reorder_rows=True)
    batch = await openai.after(END, await openai.create(*FOUR))
    assert await openai.result_ids(batch) == (["c", "d", "c", "a", "foreign-0"], [])


async def test_answers_lack_usage_or_text_and_ids_lose_zeros(providers: SimulatedProviders, openai: RawBatches) -> None:
    await providers.play(rows_without_usage=[0], cut_off_rows=[1], retype_ids=True)
    batch = await openai.after(END, await openai.create("007", "b", "c"))
    lines = await openai.lines(batch["output_file_id"])
    assert [line["custom_id"] for line in lines] == ["7", "b", "c"]
    answers = [line["response"]["body"] for line in lines]
    assert ["usage" in answer for answer in answers] == [False, True, True]
    assert [answer["choices"][0]["finish_reason"] for answer in answers] == ["stop", "length", "stop"]
    assert answers[1]["choices"][0]["message"]["content"] == ""


async def test_the_error_file_is_empty_or_deleted(providers: SimulatedProviders, openai: RawBatches) -> None:
    await providers.play(empty_error_file=True)
    empty = await openai.after(END, await openai.create("a"))
    assert await openai.call("GET", f"/files/{empty['error_file_id']}/content") == (200, "")
    await providers.play(deleted_error_file=True)
    deleted = await openai.after(END, await openai.create("a"))
    assert deleted["error_file_id"] is not None
    assert (await openai.call("GET", f"/files/{deleted['error_file_id']}/content"))[0] == 404


async def test_a_download_is_refused_then_cut_then_whole(providers: SimulatedProviders, openai: RawBatches) -> None:
    batch = await openai.after(END, await openai.create(*FOUR))
    await providers.play(refuse_downloads=1, cut_downloads=1)
    path = f"/files/{batch['output_file_id']}/content"
    assert (await openai.call("GET", path))[0] == 503
    with pytest.raises(aiohttp.ClientPayloadError):
        await openai.call("GET", path)
    assert len(await openai.lines(batch["output_file_id"])) == 4


# Anthropic, and the switch


async def test_anthropic_plays_the_same_faults(providers: SimulatedProviders) -> None:
    anthropic = RawBatches(providers, "anthropic/v1/messages")
    await providers.play(stall_at=0.5, missing_rows=[0], late_output_file=1, cut_downloads=1)
    params = {"model": "sim-1", "max_tokens": 8, "messages": []}
    requests = [{"custom_id": custom_id, "params": params} for custom_id in FOUR]
    status, batch = await anthropic.call("POST", "/batches", json={"requests": requests})
    assert status == 200
    await providers.advance(DAY)
    assert (await anthropic.retrieve(batch))["results_url"] is None
    batch = await anthropic.retrieve(batch)
    assert batch["request_counts"] == {"processing": 0, "succeeded": 2, "errored": 0, "canceled": 0, "expired": 2}
    with pytest.raises(aiohttp.ClientPayloadError):
        await anthropic.call("GET", f"/batches/{batch['id']}/results")
    status, text = await anthropic.call("GET", f"/batches/{batch['id']}/results")
    assert (status, len(text.splitlines())) == (200, 3)


async def test_faults_can_be_given_to_the_constructor() -> None:
    async with simulated_providers(faults=BatchFaults(fail_with="boom")) as providers:
        batch = await RawBatches(providers).after(END, await RawBatches(providers).create("a"))
    assert batch["status"] == "failed"


async def test_an_unknown_fault_is_refused(providers: SimulatedProviders) -> None:
    async with providers.http.post(f"{providers.url}/simulator/faults", json={"stal_at": 1}) as response:
        assert response.status == 400
        assert "stal_at" in await response.text()


async def test_the_faults_that_are_left_are_shown(providers: SimulatedProviders, openai: RawBatches) -> None:
    await providers.play(refuse_creates=2)
    await openai.try_create("file-x")
    async with providers.http.get(f"{providers.url}/simulator/faults") as response:
        assert await response.json() == {"refuse_creates": 1}
