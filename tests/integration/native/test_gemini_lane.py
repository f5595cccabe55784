"""What only Gemini's batch API has: resumable uploads, long-running operations, and results in several places."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest
from msgspec import structs

from batchgate.engine.model.errors import UpstreamError
from batchgate.engine.model.native_job import PlannedRow
from batchgate.engine.model.provider_call import RequestRow, RowKind
from batchgate.providers.batches import gemini_uploads
from batchgate.providers.batches.http_exchange import HttpExchange
from tests.integration.native.lane_client import END, LaneClient, stream
from tests.support.simulated_batches import simulated_providers

CONTENTS = [{"role": "user", "parts": [{"text": "Hello"}]}]


@pytest.fixture
async def gemini() -> AsyncIterator[LaneClient]:
    """Run a simulated Gemini, and return its client."""
    async with simulated_providers() as providers, HttpExchange() as exchange:
        yield LaneClient("gemini", providers, exchange)


def row(kind: RowKind, **params: object) -> RequestRow:
    encoded = msgspec.json.encode({"model": "sim-1"} | params)
    return RequestRow(custom_id="c", params=encoded, model="sim-1", headers={}, kind=kind)


async def test_a_large_file_is_sent_in_pieces(gemini: LaneClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gemini_uploads, "PIECE", 256 * 1024)
    job = await gemini.submit([gemini.row("Hello " * 20_000) for _ in range(5)])
    await gemini.providers.advance(END)

    assert sorted(result.row_id for result in await gemini.results(job)) == [f"r{n}" for n in range(5)]


async def test_a_job_is_found_by_its_name_among_others(gemini: LaneClient) -> None:
    uploaded, planned = await gemini.upload([gemini.row()])
    for n in range(60):
        other = structs.replace(uploaded, token=f"other-{n}")
        await gemini.batches.create(gemini.account, other, stream(planned))
    ours = await gemini.batches.create(gemini.account, uploaded, stream(planned))

    found = await gemini.batches.find(gemini.account, uploaded)

    assert [job.id for job in found] == [ours.id]


async def test_embeddings_run_in_a_job_of_their_own_method(gemini: LaneClient) -> None:
    rows = [
        row("embeddings", input="Hello", dimensions=4),
        row("embeddings", input=["Bye"], dimensions=4, encoding_format="float"),
    ]
    planned = [gemini.batches.encode(gemini.account, one, f"r{seq}") for seq, one in enumerate(rows)]
    job = structs.replace(gemini.job(2), kind="embed_content")
    file = await gemini.batches.upload(gemini.account, job, stream(planned))
    uploaded = structs.replace(job, upstream_file=file)
    created = gemini.created(uploaded, await gemini.batches.create(gemini.account, uploaded, stream(planned)))
    await gemini.providers.advance(END)

    results = {result.row_id: result for result in await gemini.results(created)}
    first, second = (msgspec.json.decode(gemini.answer(rows[n], results[f"r{n}"])) for n in (0, 1))

    assert len(first["data"][0]["embedding"]) == len(second["data"][0]["embedding"]) == 4
    assert first["data"] != second["data"]


@pytest.mark.parametrize(
    ("kind", "params", "reason"),
    [
        ("embeddings", {"input": ["a", "b"]}, "input: "),
        ("embeddings", {"input": "a", "encoding_format": "base64"}, "encoding_format: "),
        ("completions", {"prompt": "a"}, "url: "),
        ("generate_content", {"contents": CONTENTS, "config": {}}, "config: "),
        (
            "generate_content",
            {"contents": CONTENTS, "generationConfig": {"responseJsonSchema": {"type": "object"}}},
            "responseJsonSchema: ",
        ),
        (
            "chat_completions",
            {
                "messages": [{"role": "user", "content": "a"}],
                "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
            },
            "responseJsonSchema: ",
        ),
    ],
)
def test_what_would_harm_a_job_runs_directly(
    gemini: LaneClient, kind: RowKind, params: dict[str, object], reason: str
) -> None:
    refused = gemini.batches.refusal(row(kind, **params))

    assert refused is not None
    assert reason in refused


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("generate_content", {"contents": CONTENTS, "generation_config": {"response_schema": {"type": "OBJECT"}}}),
        ("chat_completions", {"messages": [{"role": "user", "content": "a"}]}),
        ("embed_content", {"content": CONTENTS[0]}),
        ("embeddings", {"input": "a"}),
    ],
)
def test_what_a_job_takes_is_not_refused(gemini: LaneClient, kind: RowKind, params: dict[str, object]) -> None:
    assert gemini.batches.refusal(row(kind, **params)) is None


async def test_one_malformed_request_makes_the_create_fail_and_nothing_is_made(gemini: LaneClient) -> None:
    job = gemini.job(2)
    bad = PlannedRow(row_id="r1", line=b'{"key":"r1","request":{"contents":[],"config":{}}}')
    rows = [gemini.planned(0, gemini.row()), bad]
    uploaded = structs.replace(job, upstream_file=await gemini.batches.upload(gemini.account, job, stream(rows)))

    with pytest.raises(UpstreamError) as caught:
        await gemini.batches.create(gemini.account, uploaded, stream(rows))

    assert (caught.value.status, caught.value.retry_safe) == (400, False)
    assert await gemini.providers.jobs() == []


async def test_a_job_that_is_refused_for_its_tokens_says_so(gemini: LaneClient) -> None:
    await gemini.providers.configure(enqueued_tokens=1, file_pending=0)
    job = await gemini.submit([gemini.row("Hello " * 50)])
    await gemini.providers.advance(END)

    ended = await gemini.poll(job)

    assert (ended.outcome, ended.limit_exceeded) == ("failed", True)


async def test_a_late_result_file_is_awaited(gemini: LaneClient) -> None:
    await gemini.providers.play(late_output_file=2)
    job = await gemini.submit([gemini.row()])
    await gemini.providers.advance(END)

    seen = [await gemini.poll(job) for _ in range(3)]

    assert [upstream.awaits_results for upstream in seen] == [True, True, False]


@pytest.mark.parametrize(("fault", "ran"), [("keeps_results", 2), ("loses_race", 4), (None, 0)])
async def test_results_of_a_cancelled_job_are_read_if_it_has_any(
    gemini: LaneClient, fault: str | None, ran: int
) -> None:
    await gemini.providers.play(**({"cancellation": fault} if fault else {}))
    job = await gemini.submit([gemini.row()] * 4)
    await gemini.providers.advance(20.0)
    await gemini.batches.cancel(gemini.account, job)
    await gemini.providers.advance(END)

    results = await gemini.results(job)

    assert sum(result.response is not None for result in results) == ran
    assert {result.unfinished for result in results if result.response is None} <= {"canceled"}


async def test_a_discarded_job_takes_its_results_with_it(gemini: LaneClient) -> None:
    job = await gemini.submit([gemini.row()])
    await gemini.providers.advance(END)
    ended = await gemini.poll(job)

    await gemini.batches.discard(gemini.account, job, ended)
    await gemini.batches.discard(gemini.account, job, ended)

    assert await gemini.batches.poll(gemini.account, job) is None
    with pytest.raises(UpstreamError) as caught:
        _ = [group async for group in gemini.batches.results(gemini.account, job, ended)]
    assert caught.value.status == 404
