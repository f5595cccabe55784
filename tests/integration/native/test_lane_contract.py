"""What holds for the client of every batch API, against the simulated providers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from msgspec import structs

from batchgate.engine.model.errors import NoUpstreamAnswer, UpstreamError
from batchgate.providers.batches.http_exchange import HttpExchange
from batchgate.providers.batches.openai_dialects import OPENAI_DIALECTS
from tests.integration.native.lane_client import BASES, END, LaneClient, stream
from tests.support.simulated_batches import DAY, SimulatedProviders, simulated_providers

UNLABELLED = {"anthropic", "openrouter"}
"""The providers whose jobs are found by their time and size."""
WITHOUT_RESULT_FILES = {"anthropic", "xai", "openrouter"}
"""The providers whose jobs hold the results."""
HALF_EXPIRED = {
    "bedrock": ["ran", "ran"],
    "mistral": ["ran", "ran"],
    "together": ["ran", "ran"],
    "xai": ["canceled", "canceled", "ran", "ran"],
    "openrouter": [],
    "gemini": [],
    "fireworks": ["ran", "ran"],
    "cohere": ["ran", "ran"],
    "vertex": ["ran", "ran"],
}
"""What the results of a job say that expired with two of four requests answered, if not just that."""
HALF = 20.0


@pytest.fixture
async def providers() -> AsyncIterator[SimulatedProviders]:
    """Run the simulated providers."""
    async with simulated_providers() as providers:
        yield providers


@pytest.fixture
async def exchange() -> AsyncIterator[HttpExchange]:
    """Open an HTTP client."""
    async with HttpExchange() as exchange:
        yield exchange


@pytest.fixture(params=sorted(BASES))
def lane(request: pytest.FixtureRequest, providers: SimulatedProviders, exchange: HttpExchange) -> LaneClient:
    """Choose each provider in turn."""
    return LaneClient(request.param, providers, exchange)


@pytest.fixture(params=sorted(OPENAI_DIALECTS))
def openai_lane(request: pytest.FixtureRequest, providers: SimulatedProviders, exchange: HttpExchange) -> LaneClient:
    """Choose each provider whose API has OpenAI's shape in turn."""
    return LaneClient(request.param, providers, exchange)


@pytest.fixture(params=sorted(BASES.keys() - UNLABELLED))
def labelled_lane(request: pytest.FixtureRequest, providers: SimulatedProviders, exchange: HttpExchange) -> LaneClient:
    """Choose each provider in turn whose jobs have a label."""
    return LaneClient(request.param, providers, exchange)


@pytest.fixture(params=sorted(BASES.keys() - WITHOUT_RESULT_FILES))
def file_lane(request: pytest.FixtureRequest, providers: SimulatedProviders, exchange: HttpExchange) -> LaneClient:
    """Choose each provider in turn whose results are files."""
    return LaneClient(request.param, providers, exchange)


@pytest.fixture
def openai(providers: SimulatedProviders, exchange: HttpExchange) -> LaneClient:
    """Return the client of OpenAI."""
    return LaneClient("openai", providers, exchange)


async def test_a_job_runs_from_its_upload_to_answers(lane: LaneClient) -> None:
    rows = [lane.row(f"Hello {n}") for n in range(5)]
    job = await lane.submit(rows)
    running = await lane.poll(job)
    await lane.providers.advance(END)
    ended = await lane.poll(job)
    results = {result.row_id: result for result in await lane.results(job)}

    assert (running.outcome, ended.outcome, ended.awaits_results) == ("running", "completed", False)
    assert sorted(results) == [f"r{n}" for n in range(5)]
    assert all(result.response is not None and result.response.status == 200 for result in results.values())
    if lane.provider not in {
        "perplexity",
        "deepinfra",
        "together",
    }:  # no account can have them, or none sends such requests
        assert all(lane.answer(row, results[f"r{n}"]) for n, row in enumerate(rows))


async def test_a_job_is_found_whose_create_call_had_no_answer(lane: LaneClient) -> None:
    await lane.providers.play(lose_create_answer="close", jobs=1)
    uploaded, planned = await lane.upload([lane.row(), lane.row()])
    with pytest.raises(NoUpstreamAnswer):
        await lane.batches.create(lane.account, uploaded, stream(planned))

    found = await lane.batches.find(lane.account, uploaded)

    assert [job.id for job in found] == [job.id for job in await lane.providers.jobs()]
    assert len(found) == 1


async def test_a_job_that_was_not_created_is_not_found(lane: LaneClient) -> None:
    if lane.provider not in UNLABELLED:
        await lane.submit([lane.row()], token="another")
    await lane.submit([lane.row()] * 3, token="another")

    uploaded, _ = await lane.upload([lane.row()] * 2)
    assert await lane.batches.find(lane.account, uploaded) == []


@pytest.mark.parametrize("provider", sorted(UNLABELLED))
async def test_an_old_job_of_the_same_size_is_not_ours(
    providers: SimulatedProviders, exchange: HttpExchange, provider: str
) -> None:
    lane = LaneClient(provider, providers, exchange)
    await lane.submit([lane.row()])

    later = lane.job(1).creating_at
    assert later is not None
    assert len(await lane.batches.find(lane.account, lane.job(1))) == 1

    future = structs.replace(lane.job(1), creating_at=later + 120_000_000)
    assert await lane.batches.find(lane.account, future) == []


async def test_a_job_is_found_among_hundreds_of_others(labelled_lane: LaneClient) -> None:
    uploaded, planned = await labelled_lane.upload([labelled_lane.row()])
    ours = await labelled_lane.batches.create(labelled_lane.account, uploaded, stream(planned))

    other, planned = await labelled_lane.upload([labelled_lane.row()])
    takes_100 = labelled_lane.provider in {"deepinfra", "gemini"}  # at a time
    for n in range(90 if takes_100 else 105):
        another = structs.replace(other, token=f"other-{n}")
        await labelled_lane.batches.create(labelled_lane.account, another, stream(planned))

    found = await labelled_lane.batches.find(labelled_lane.account, uploaded)

    assert [job.id for job in found] == [ours.id]


async def test_a_canceled_job_ends_and_a_second_cancel_changes_nothing(lane: LaneClient) -> None:
    job = await lane.submit([lane.row()] * 4)
    await lane.batches.cancel(lane.account, job)
    await lane.batches.cancel(lane.account, job)
    await lane.providers.advance(END)
    if lane.provider == "fireworks":  # a job that runs can only be deleted
        assert await lane.batches.poll(lane.account, job) is None
        return
    ended = await lane.poll(job)
    await lane.batches.cancel(lane.account, job)
    results = await lane.results(job)

    assert ended.outcome in {"canceled", "completed"}  # DeepInfra runs a job to its end
    assert all(result.unfinished == "canceled" or result.response is not None for result in results)


async def test_an_expired_job_says_which_requests_did_not_run(lane: LaneClient) -> None:
    await lane.providers.play(expire_at=0.5)
    job = await lane.submit([lane.row()] * 4)
    await lane.providers.advance(END if lane.provider != "azure" else DAY * 2)
    ended = await lane.poll(job)
    results = await lane.results(job)

    assert ended.outcome == ("failed" if lane.provider == "cohere" else "expired")  # Cohere has no such state
    expected = HALF_EXPIRED.get(lane.provider, ["expired", "expired", "ran", "ran"])
    assert sorted(result.unfinished or "ran" for result in results) == expected


async def test_a_job_without_an_answer_is_not_seen_with_another_key(lane: LaneClient) -> None:

    job = await lane.submit([lane.row()])
    other = structs.replace(lane.account, api_key="sk-another-key", project=lane.account.project and "another-project")

    assert await lane.batches.poll(other, job) is None


async def test_a_discarded_job_leaves_no_files(file_lane: LaneClient) -> None:
    job = await file_lane.submit([file_lane.row()])
    await file_lane.providers.advance(END)
    ended = await file_lane.poll(job)

    await file_lane.batches.discard(file_lane.account, job, ended)
    await file_lane.batches.discard(file_lane.account, job, ended)

    with pytest.raises(UpstreamError) as caught:
        _ = [group async for group in file_lane.batches.results(file_lane.account, job, ended)]
    assert caught.value.status == 404


@pytest.mark.parametrize("provider", sorted(UNLABELLED))
async def test_a_discarded_job_that_holds_its_results_is_gone(
    providers: SimulatedProviders, exchange: HttpExchange, provider: str
) -> None:
    lane = LaneClient(provider, providers, exchange)
    job = await lane.submit([lane.row()])
    await providers.advance(END)

    await lane.batches.discard(lane.account, job, await lane.poll(job))

    assert await lane.batches.poll(lane.account, job) is None


async def test_a_cut_download_is_an_error_that_is_safe_to_retry(lane: LaneClient) -> None:
    await lane.providers.play(cut_downloads=1)
    job = await lane.submit([lane.row()] * 4)
    await lane.providers.advance(END)

    with pytest.raises(NoUpstreamAnswer) as caught:
        await lane.results(job)

    assert caught.value.retry_safe
    assert len(await lane.results(job)) == 4


async def test_an_outage_is_an_error_that_is_safe_to_retry(lane: LaneClient) -> None:
    job = await lane.submit([lane.row()])
    await lane.providers.play(outage=522)

    with pytest.raises(UpstreamError) as caught:
        await lane.batches.poll(lane.account, job)

    assert (caught.value.status, caught.value.retry_safe) == (522, True)


async def test_a_refused_create_says_when_to_try_again(lane: LaneClient) -> None:
    await lane.providers.play(refuse_creates=1, retry_after=7)
    uploaded, planned = await lane.upload([lane.row()])

    with pytest.raises(UpstreamError) as caught:
        await lane.batches.create(lane.account, uploaded, stream(planned))

    assert (caught.value.status, caught.value.retry_safe, caught.value.retry_after) == (429, True, 7.0)
    assert await lane.providers.jobs() == []


async def test_doubled_and_foreign_rows_are_handed_on(lane: LaneClient) -> None:
    await lane.providers.play(doubled_rows=[0], foreign_rows=1, missing_rows=[1], reorder_rows=True)
    job = await lane.submit([lane.row()] * 3)
    await lane.providers.advance(END)

    ids = [result.row_id for result in await lane.results(job)]

    assert len(ids) == 4
    assert sorted(identifier for identifier in ids if identifier in {"r0", "r1", "r2"}) == ["r0", "r0", "r2"]


async def test_a_file_that_is_not_found_yet_is_a_refusal_that_passes(openai_lane: LaneClient) -> None:
    await openai_lane.providers.play(cannot_find_file=1)
    uploaded, planned = await openai_lane.upload([openai_lane.row()])

    with pytest.raises(UpstreamError) as caught:
        await openai_lane.batches.create(openai_lane.account, uploaded, stream(planned))
    assert caught.value.retry_safe
    assert (await openai_lane.batches.create(openai_lane.account, uploaded, stream(planned))).outcome == "running"


async def test_a_full_queue_is_a_refusal_with_its_limit(openai_lane: LaneClient) -> None:
    await openai_lane.providers.configure(enqueued_tokens=1)
    job = await openai_lane.submit([openai_lane.row("Hello " * 50)])
    await openai_lane.providers.advance(END)

    ended = await openai_lane.poll(job)

    assert (ended.outcome, ended.limit_exceeded, ended.token_limit) == ("failed", True, 1)


async def test_a_bad_row_is_named_from_0(openai_lane: LaneClient) -> None:
    planned = [openai_lane.planned(seq, openai_lane.row()) for seq in (0, 1, 1)]
    job = openai_lane.job(3)
    file = await openai_lane.batches.upload(openai_lane.account, job, stream(planned))
    uploaded = structs.replace(job, upstream_file=file)
    created = await openai_lane.batches.create(openai_lane.account, uploaded, stream(planned))
    await openai_lane.providers.advance(END)
    job = openai_lane.created(uploaded, created)

    ended = await openai_lane.poll(job)
    ran = [result.row_id for result in await openai_lane.results(job) if result.response is not None]

    if openai_lane.provider == "groq":  # it runs the other rows
        assert (ended.outcome, sorted(ran)) == ("completed", ["r0", "r1", "r1"])
    else:
        assert (ended.outcome, ran) == ("failed", [])
        assert [(fault.code, fault.line) for fault in ended.faults] == [("duplicate_custom_id", 2)]


@pytest.mark.parametrize("counters", ["null", "zero", "too_many"])
async def test_wrong_counters_lose_no_row(lane: LaneClient, counters: str) -> None:
    await lane.providers.play(counters=counters)
    job = await lane.submit([lane.row()] * 2)
    await lane.providers.advance(END)

    assert len(await lane.results(job)) == 2


@pytest.mark.parametrize("counters", ["null", None])
async def test_a_late_output_file_is_awaited(openai: LaneClient, counters: str | None) -> None:
    await openai.providers.play(late_output_file=2, **({"counters": counters} if counters else {}))
    job = await openai.submit([openai.row()])
    await openai.providers.advance(END)

    seen = [await openai.poll(job) for _ in range(3)]

    assert [upstream.outcome for upstream in seen] == ["completed"] * 3
    assert [bool(upstream.results) for upstream in seen] == [False, False, True]
    assert [upstream.awaits_results for upstream in seen] == [True, True, False]


@pytest.mark.parametrize("fault", ["loses_results", "keeps_results", "loses_race"])
async def test_a_cancel_leaves_what_the_files_say(openai: LaneClient, fault: str) -> None:
    await openai.providers.play(cancellation=fault)
    job = await openai.submit([openai.row()] * 4)
    await openai.providers.advance(HALF)
    await openai.batches.cancel(openai.account, job)
    await openai.providers.advance(END)

    ended = await openai.poll(job)
    results = await openai.results(job)
    ran = sum(result.response is not None for result in results)

    assert ran == {"loses_results": 0, "keeps_results": 2, "loses_race": 4}[fault]
    assert ended.outcome in {"canceled", "completed"}


@pytest.mark.parametrize("fault", [{"empty_error_file": True}, {"plain_errors": True}, {"unknown_status": "pondering"}])
async def test_odd_objects_are_read(openai: LaneClient, fault: dict[str, object]) -> None:
    await openai.providers.play(**fault)
    job = await openai.submit([openai.row()] * 2)
    await openai.providers.advance(HALF)
    running = await openai.poll(job)
    await openai.providers.advance(END)

    assert running.outcome == "running"
    assert len(await openai.results(job)) == 2


async def test_an_error_file_that_is_gone_is_reported_after_the_answers(openai: LaneClient) -> None:
    await openai.providers.play(deleted_error_file=True)
    job = await openai.submit([openai.row()] * 2)
    await openai.providers.advance(END)
    results = openai.batches.results(openai.account, job, await openai.poll(job))

    assert sorted(result.row_id for result in await anext(results)) == ["r0", "r1"]
    with pytest.raises(UpstreamError) as caught:
        await anext(results)
    assert caught.value.status == 404


async def test_perplexity_makes_one_job_of_two_create_calls(
    providers: SimulatedProviders, exchange: HttpExchange
) -> None:
    perplexity = LaneClient("perplexity", providers, exchange)
    uploaded, planned = await perplexity.upload([perplexity.row()])
    first = await perplexity.batches.create(perplexity.account, uploaded, stream(planned))
    second = await perplexity.batches.create(perplexity.account, uploaded, stream(planned))

    assert (second.id, len(await providers.jobs())) == (first.id, 1)
