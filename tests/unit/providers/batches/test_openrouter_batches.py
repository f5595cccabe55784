"""What is special about OpenRouter's batches (native-lanes 2.13)."""

from __future__ import annotations

import msgspec
import pytest

from batchgate.engine.model.errors import NoUpstreamAnswer
from batchgate.engine.model.native_job import PlannedRow
from tests.unit.providers.batches.conftest import MakeClient
from tests.unit.providers.batches.recorder import CREATING_AT, Recorder, job, rows

NOW = CREATING_AT // 1_000_000
BATCH: dict[str, object] = {
    "id": "batch_1",
    "status": "validating",
    "model": "model",
    "created_at": NOW,
    "request_counts": {"total": 2},
}
GET = "GET /v1/batches/batch_1"


async def test_requests_stand_last_in_the_create_call(client: MakeClient, recorder: Recorder) -> None:
    recorder.answer("POST /v1/batches", BATCH | {"results": None}, status=202)
    openrouter = client("openrouter")
    planned = [PlannedRow(row_id=f"r{number}", line=b'{"custom_id":"r%d","body":{}}' % number) for number in range(2)]
    created = await openrouter.batches.create(openrouter.account, job(), rows(planned))

    sent = msgspec.json.decode(recorder.calls[0].body)
    assert [*sent] == ["endpoint", "model", "completion_window", "requests"]
    assert (sent["endpoint"], sent["model"]) == ("/v1/chat/completions", "model")
    assert [row["custom_id"] for row in sent["requests"]] == ["r0", "r1"]
    assert (created.id, created.outcome) == ("batch_1", "running")


async def test_a_job_is_found_by_its_time_its_model_and_its_size(client: MakeClient, recorder: Recorder) -> None:
    others: tuple[dict[str, object], ...] = (
        {"id": "a", "model": "other"},
        {"id": "b", "request_counts": {"total": 3}},
        {"id": "c"},
    )
    recorder.answer(
        "GET /v1/batches?limit=100", {"data": [BATCH | o for o in others], "has_more": True, "last_id": "c"}
    )
    old = BATCH | {"id": "old", "created_at": NOW - 3600}
    recorder.answer("GET /v1/batches?limit=100&after=c", {"data": [BATCH, old], "has_more": True, "last_id": "old"})
    openrouter = client("openrouter")

    found = await openrouter.batches.find(openrouter.account, job())
    assert sorted(upstream.id for upstream in found) == ["batch_1", "c"]


async def test_a_search_reads_no_job_that_has_ended_since_its_results_may_be_many(
    client: MakeClient, recorder: Recorder
) -> None:
    ended = [BATCH | {"id": word, "status": word} for word in ("completed", "failed", "expired")]
    recorder.answer("GET /v1/batches?limit=100", {"data": ended, "has_more": False})
    openrouter = client("openrouter")

    found = await openrouter.batches.find(openrouter.account, job())
    assert {upstream.outcome: upstream.awaits_results for upstream in found} == {
        "completed": True,
        "failed": False,
        "expired": False,
    }
    assert recorder.lines == ["GET /v1/batches?limit=100"]


async def test_a_cancel_makes_no_call(client: MakeClient, recorder: Recorder) -> None:
    openrouter = client("openrouter")
    await openrouter.batches.cancel(openrouter.account, job())

    assert recorder.calls == []


@pytest.mark.parametrize(
    ("fields", "outcome", "awaits"),
    [
        ({"status": "completed", "results": None}, "completed", True),
        ({"status": "completed", "results": []}, "completed", False),
        ({"status": "expired", "results": None}, "expired", False),
        ({"status": "failed", "results": None, "error": {"message": "a: no"}}, "failed", False),
        ({"status": "pondering"}, "running", False),
    ],
)
async def test_the_state_and_the_results_are_in_one_object(
    client: MakeClient, recorder: Recorder, fields: dict[str, object], outcome: str, *, awaits: bool
) -> None:
    recorder.answer(GET, BATCH | fields)
    openrouter = client("openrouter")
    polled = await openrouter.batches.poll(openrouter.account, job())

    assert polled is not None
    assert (polled.outcome, polled.awaits_results) == (outcome, awaits)
    assert [fault.message for fault in polled.faults] == (["a: no"] if outcome == "failed" else [])


async def test_results_are_read_from_the_job(client: MakeClient, recorder: Recorder) -> None:
    response = {"status_code": 200, "request_id": "x", "body": {"id": "c"}}
    error = {"type": "rate_limit_error", "message": "slow down", "param": None}
    found = [
        {"id": "p-r0", "custom_id": "r0", "response": response, "error": None},
        {"id": "p-r1", "custom_id": "r1", "response": None, "error": error},
        {"id": "p-r2", "custom_id": None},
    ]
    recorder.answer(GET, BATCH | {"status": "completed", "results": found})
    results = await client("openrouter").results(job())

    assert [result.row_id for result in results] == ["r0", "r1"]
    assert [result.response.status for result in results if result.response is not None] == [200, 429]


@pytest.mark.parametrize("body", [b"", b'{"id": "batch_1", "sta', b"[]"])
async def test_a_document_that_is_no_job_is_asked_for_again(
    client: MakeClient, recorder: Recorder, body: bytes
) -> None:
    recorder.answer(GET, body)
    openrouter = client("openrouter")

    with pytest.raises(NoUpstreamAnswer) as caught:
        await openrouter.batches.poll(openrouter.account, job())
    assert caught.value.retry_safe
