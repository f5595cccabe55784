"""The client of Message Batches, with answers as they were seen (native-lanes 2.5, batch-apis 1)."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from batchgate.engine.model.errors import UpstreamError
from batchgate.engine.model.native_job import PlannedRow
from batchgate.engine.ports.provider_batches import NativeResult
from batchgate.providers.handlers.anthropic import AnthropicHandler
from tests.unit.providers.batches.conftest import MakeClient
from tests.unit.providers.batches.recorder import CREATING_AT, KEY, Recorder, job, rows
from tests.unit.providers.calls import MESSAGE, PARAMS, Json, row

PATH = "/v1/messages/batches"
BATCH: Json = {
    "id": "msgbatch_1",
    "type": "message_batch",
    "processing_status": "in_progress",
    "request_counts": {"processing": 2, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0},
    "ended_at": None,
    "created_at": "2026-08-19T14:44:51.493319+00:00",
    "expires_at": "2026-08-20T14:44:51.493319+00:00",
    "cancel_initiated_at": None,
    "archived_at": None,
    "results_url": None,
}
ENDED = BATCH | {"processing_status": "ended", "results_url": "https://elsewhere.example/results"}
JOB = job(kind="messages", upstream_id="msgbatch_1", upstream_file=None, sent=2)


def created(seconds: float) -> str:
    return datetime.fromtimestamp(CREATING_AT / 1e6 + seconds, UTC).isoformat()


async def test_a_row_carries_the_body_of_the_live_call_and_its_headers_without_the_key(client: MakeClient) -> None:
    anthropic = client("anthropic", "")
    headers = {"anthropic-version": "2026-10-21", "anthropic-beta": "output-300k-2026-03-24"}

    planned = anthropic.batches.encode(anthropic.account, row(headers=headers), "r3")

    assert msgspec.json.decode(planned.line) == {"custom_id": "r3", "params": PARAMS}
    assert planned.headers == headers


async def test_a_create_sends_all_rows_and_the_headers_of_the_batch(client: MakeClient, recorder: Recorder) -> None:
    recorder.answer(f"POST {PATH}", BATCH)
    anthropic = client("anthropic", "")
    headers = {"anthropic-version": "2023-06-01", "anthropic-beta": "beta-1"}
    planned = [PlannedRow(row_id=f"r{n}", line=b'{"n":%d}' % n, headers=headers) for n in range(3)]

    upstream = await anthropic.batches.create(anthropic.account, JOB, rows(planned))

    (call,) = recorder.calls
    assert call.body == b'{"requests":[{"n":0},{"n":1},{"n":2}]}'
    sent = {name: call.headers.get(name) for name in ("x-api-key", "content-type", *headers)}
    assert sent == {"x-api-key": KEY, "content-type": "application/json", **headers}
    assert (upstream.id, upstream.status, upstream.outcome) == ("msgbatch_1", "in_progress", "running")


async def test_there_is_no_upload(client: MakeClient, recorder: Recorder) -> None:
    anthropic = client("anthropic", "")

    assert await anthropic.batches.upload(anthropic.account, JOB, rows([])) is None
    assert recorder.calls == []


async def test_a_find_returns_jobs_of_the_same_size_since_the_create_call_the_oldest_first(
    client: MakeClient, recorder: Recorder
) -> None:
    def batch(name: str, seconds: float, processing: int = 1) -> Json:
        counts = BATCH["request_counts"] | {"processing": processing, "succeeded": 1}
        return BATCH | {"id": name, "created_at": created(seconds), "request_counts": counts}

    first = [batch("later", 90), batch("other size", 50, processing=2)]
    second = [batch("at the start", -59), batch("too old", -61)]
    recorder.answer(f"GET {PATH}?limit=1000", {"data": first, "has_more": True, "last_id": "other size"})
    recorder.answer(
        f"GET {PATH}?limit=1000&after_id=other+size", {"data": second, "has_more": True, "last_id": "too old"}
    )
    anthropic = client("anthropic", "")

    found = await anthropic.batches.find(anthropic.account, JOB)

    assert [upstream.id for upstream in found] == ["at the start", "later"]
    assert len(recorder.calls) == 2


async def test_a_running_job_says_when_to_ask_again(client: MakeClient, recorder: Recorder) -> None:
    recorder.answer(f"GET {PATH}/msgbatch_1", BATCH, headers={"Retry-After": "10"})
    anthropic = client("anthropic", "")

    upstream = await anthropic.batches.poll(anthropic.account, JOB)

    assert upstream is not None
    assert (upstream.outcome, upstream.retry_after, upstream.results) == ("running", 10.0, ())


@pytest.mark.parametrize(
    ("fields", "outcome", "results", "awaits"),
    [
        ({}, "completed", ("msgbatch_1",), False),
        ({"cancel_initiated_at": created(0)}, "canceled", ("msgbatch_1",), False),
        (
            {"request_counts": BATCH["request_counts"] | {"processing": 0, "expired": 2}},
            "expired",
            ("msgbatch_1",),
            False,
        ),
        ({"results_url": None}, "completed", (), True),
        ({"results_url": None, "archived_at": created(0)}, "completed", (), False),
        ({"processing_status": "canceling", "results_url": None}, "running", (), False),
    ],
    ids=["completed", "canceled", "expired", "no results yet", "archived", "canceling"],
)
async def test_the_end_of_a_job_is_that_of_its_requests_without_a_result(
    client: MakeClient, recorder: Recorder, *, fields: Json, outcome: str, results: tuple[str, ...], awaits: bool
) -> None:
    recorder.answer(f"GET {PATH}/msgbatch_1", ENDED | fields)
    anthropic = client("anthropic", "")

    upstream = await anthropic.batches.poll(anthropic.account, JOB)

    assert upstream is not None
    assert (upstream.outcome, upstream.results, upstream.awaits_results) == (outcome, results, awaits)


async def read(client: MakeClient, recorder: Recorder, *results: tuple[str, object]) -> list[NativeResult]:
    """Return the results of an ended job; the key goes to the account's own host, whatever `results_url` says."""
    recorder.answer(f"GET {PATH}/msgbatch_1", ENDED)
    lines = [msgspec.json.encode({"custom_id": row_id, "result": result}) for row_id, result in results]
    recorder.answer(f"GET {PATH}/msgbatch_1/results", b"\n".join(lines))
    return await client("anthropic", "").results(JOB)


async def test_each_kind_of_result_is_read(client: MakeClient, recorder: Recorder) -> None:
    answered, canceled, expired = await read(
        client,
        recorder,
        ("r2", {"type": "succeeded", "message": MESSAGE}),
        ("r0", {"type": "canceled"}),
        ("r1", {"type": "expired"}),
    )

    assert answered.response is not None
    assert msgspec.json.decode(AnthropicHandler().decode(row(), answered.response)) == MESSAGE
    assert canceled == NativeResult(row_id="r0", response=None, unfinished="canceled")
    assert expired == NativeResult(row_id="r1", response=None, unfinished="expired")


@pytest.mark.parametrize(
    ("error", "status", "kind", "retry_safe"),
    [
        ("invalid_request_error", 400, "invalid_request_error", False),
        ("not_found_error", 404, "not_found_error", False),
        ("rate_limit_error", 429, "rate_limit_error", True),
        ("overloaded_error", 529, "overloaded_error", True),
        ("api_error", 500, "api_error", True),
        ("a_new_error", 500, "api_error", True),
    ],
)
async def test_an_errored_result_is_the_error_of_the_live_api(
    client: MakeClient, recorder: Recorder, error: str, status: int, kind: str, *, retry_safe: bool
) -> None:
    envelope = {"type": "error", "error": {"type": error, "message": "text"}, "request_id": "workerreq_1"}
    (result,) = await read(client, recorder, ("r0", {"type": "errored", "error": envelope}))

    assert result.response is not None
    with pytest.raises(UpstreamError) as caught:
        AnthropicHandler().decode(row(), result.response)
    assert (caught.value.status, caught.value.kind, caught.value.retry_safe) == (status, kind, retry_safe)
    assert (caught.value.message, caught.value.request_id) == ("text", "workerreq_1")


async def test_a_cancel_has_no_body_and_an_ended_job_is_left_as_it_is(client: MakeClient, recorder: Recorder) -> None:
    recorder.answer(f"POST {PATH}/msgbatch_1/cancel", {"error": {"message": "ended"}}, status=400)
    recorder.answer(f"GET {PATH}/msgbatch_1", ENDED)
    anthropic = client("anthropic", "")

    await anthropic.batches.cancel(anthropic.account, JOB)

    assert recorder.calls[0].body == b""


async def test_a_discard_deletes_the_job(client: MakeClient, recorder: Recorder) -> None:
    recorder.answer(f"DELETE {PATH}/msgbatch_1", {"id": "msgbatch_1", "type": "message_batch_deleted"})
    recorder.answer(f"DELETE {PATH}/msgbatch_1", {"error": {"type": "not_found_error", "message": "no"}}, status=404)
    anthropic = client("anthropic", "")

    await anthropic.batches.discard(anthropic.account, JOB, None)
    await anthropic.batches.discard(anthropic.account, JOB, None)

    assert recorder.lines == [f"DELETE {PATH}/msgbatch_1"] * 2


async def test_a_poll_of_an_unknown_job_returns_none_and_a_wrong_key_is_an_error(
    client: MakeClient, recorder: Recorder
) -> None:
    recorder.answer(f"GET {PATH}/msgbatch_1", {"error": {"type": "not_found_error", "message": "no"}}, status=404)
    recorder.answer(f"GET {PATH}/msgbatch_1", {"error": {"message": f"bad {KEY}"}}, status=401)
    anthropic = client("anthropic", "")

    assert await anthropic.batches.poll(anthropic.account, JOB) is None
    with pytest.raises(UpstreamError) as caught:
        await anthropic.batches.poll(anthropic.account, JOB)
    assert (caught.value.kind, caught.value.message) == ("authentication_error", "bad [key]")
