"""Gemini's long-running operations: states in two spellings, and results in every place where they may stand."""

from __future__ import annotations

import pytest

from batchgate.engine.model.errors import NoUpstreamAnswer, UpstreamError
from batchgate.engine.model.native_job import PlannedRow
from tests.unit.providers.batches.conftest import MakeClient
from tests.unit.providers.batches.recorder import KEY, Recorder, job, rows

NAME = "batches/x"
JOB = job(upstream_id=NAME, upstream_file="files/in", kind="generate_content")
ANSWER = b'{"key":"r0","response":{"candidates":[]}}\n'
FILE = {"responsesFile": "files/batch-x"}
INLINE = {
    "inlinedResponses": {
        "inlinedResponses": [
            {"metadata": {"key": "r0"}, "response": {"candidates": []}},
            {"metadata": {"key": "r1"}, "error": {"code": 8, "message": "quota"}},
            {"response": {"candidates": []}},
        ]
    }
}


def operation(state: str = "BATCH_STATE_SUCCEEDED", **fields: object) -> dict[str, object]:
    return {"name": NAME, "metadata": {"state": state, "displayName": "tok_1"}} | fields


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"state": "BATCH_STATE_PENDING"}, "running"),
        ({"state": "JOB_STATE_RUNNING"}, "running"),
        ({"state": "BATCH_STATE_CANCELLING"}, "running"),
        ({"state": "BATCH_STATE_SUCCEEDED"}, "completed"),
        ({"state": "JOB_STATE_CANCELLED", "done": True, "error": {"code": 13}}, "canceled"),
        ({"state": "BATCH_STATE_EXPIRED"}, "expired"),
        ({"state": "BATCH_STATE_FAILED", "error": {"code": 13, "message": "m"}}, "failed"),
        ({"state": "BATCH_STATE_NEW", "done": True, "response": FILE}, "completed"),
        ({"state": "BATCH_STATE_NEW", "done": True, "error": {"code": 3}}, "failed"),
    ],
)
async def test_each_state_has_an_outcome(
    client: MakeClient, recorder: Recorder, fields: dict[str, object], outcome: str
) -> None:
    recorder.answer(f"GET /v1beta/{NAME}", operation(**fields))  # type: ignore[arg-type]
    gemini = client("gemini", "")

    upstream = await gemini.batches.poll(gemini.account, JOB)

    assert upstream is not None
    assert upstream.outcome == outcome
    assert recorder.calls[0].headers["x-goog-api-key"] == KEY


@pytest.mark.parametrize(
    "place",
    [
        {"metadata": {"state": "BATCH_STATE_SUCCEEDED", "output": FILE}},
        {"response": FILE},
        {"response": {"output": FILE}},
        {"metadata": {"state": "BATCH_STATE_SUCCEEDED", "output": FILE}, "response": FILE},
    ],
)
async def test_a_result_file_is_read_once_wherever_it_is_named(
    client: MakeClient, recorder: Recorder, place: dict[str, object]
) -> None:
    recorder.answer(f"GET /v1beta/{NAME}", operation() | place)
    recorder.answer("GET /download/v1beta/files/batch-x:download?alt=media", ANSWER)

    assert [result.row_id for result in await client("gemini", "").results(JOB)] == ["r0"]


@pytest.mark.parametrize(
    "place", [{"response": INLINE}, {"metadata": {"state": "X_STATE_SUCCEEDED", "output": INLINE}}]
)
async def test_results_that_stand_in_the_job_are_read(
    client: MakeClient, recorder: Recorder, place: dict[str, object]
) -> None:
    recorder.answer(f"GET /v1beta/{NAME}", operation() | place)

    good, bad = await client("gemini", "").results(JOB)

    assert (good.row_id, good.response and good.response.status) == ("r0", 200)
    assert (bad.row_id, bad.response and bad.response.status) == ("r1", 429)


@pytest.mark.parametrize(
    ("line", "status", "unfinished"),
    [
        (b'{"key":"r0","error":{"code":3,"message":"m"}}', 400, None),
        (b'{"key":"r0","error":{"code":4,"message":"m"}}', 504, None),
        (b'{"key":"r0","error":{"code":13,"message":"m"}}', 500, None),
        (b'{"key":"r0","error":{"code":429,"message":"m"}}', 429, None),
        (b'{"key":"r0","status":{"code":7,"message":"m"}}', 403, None),
        (b'{"key":"r0","response":null,"error":{"message":"m"}}', 500, None),
        (b'{"key":"r0"}', 500, None),
        (b'{"key":"r0","error":{"code":1,"message":"m"}}', None, "canceled"),
    ],
)
async def test_the_code_of_a_failed_row_is_an_http_status(
    client: MakeClient, recorder: Recorder, line: bytes, status: int | None, unfinished: str | None
) -> None:
    recorder.answer(f"GET /v1beta/{NAME}", operation(response=FILE))
    recorder.answer("GET /download/v1beta/files/batch-x:download?alt=media", line + b"\n")

    [result] = await client("gemini", "").results(JOB)

    assert (result.response and result.response.status, result.unfinished) == (status, unfinished)


async def test_an_upload_sends_the_key_to_its_start_alone(client: MakeClient, recorder: Recorder) -> None:
    session = {"x-goog-upload-url": f"{recorder.url}/elsewhere?upload_id=secret"}
    recorder.answer("POST /upload/v1beta/files", {}, headers=session)
    recorder.answer("POST /elsewhere?upload_id=secret", {"file": {"name": "files/in", "state": "ACTIVE"}})
    gemini = client("gemini", "")

    name = await gemini.batches.upload(gemini.account, JOB, rows([PlannedRow(row_id="r0", line=b"{}")]))

    start, content = recorder.calls
    assert name == "files/in"
    assert start.headers["x-goog-api-key"] == KEY
    assert KEY not in str(content)
    assert (content.body, content.headers["x-goog-upload-command"]) == (b"{}\n", "upload, finalize")


@pytest.mark.parametrize("url", ["ftp://upload.example/a", "", "file:///etc/passwd"])
async def test_an_upload_url_that_is_none_is_refused(client: MakeClient, recorder: Recorder, url: str) -> None:
    recorder.answer("POST /upload/v1beta/files", {}, headers={"x-goog-upload-url": url})
    gemini = client("gemini", "")

    with pytest.raises(NoUpstreamAnswer, match="X-Goog-Upload-URL"):
        await gemini.batches.upload(gemini.account, JOB, rows([]))
    assert len(recorder.calls) == 1


async def test_a_file_that_failed_is_an_error(client: MakeClient, recorder: Recorder) -> None:
    session = {"x-goog-upload-url": f"{recorder.url}/elsewhere"}
    recorder.answer("POST /upload/v1beta/files", {}, headers=session)
    recorder.answer("POST /elsewhere", {"file": {"name": "files/in", "state": "FAILED"}})
    gemini = client("gemini", "")

    with pytest.raises(UpstreamError, match="FAILED") as caught:
        await gemini.batches.upload(gemini.account, JOB, rows([]))
    assert not caught.value.retry_safe


async def test_a_list_that_does_not_end_is_an_error(client: MakeClient, recorder: Recorder) -> None:
    page = {"operations": [operation()], "nextPageToken": "t"}
    recorder.answer("GET /v1beta/batches?pageSize=100", page)
    recorder.answer("GET /v1beta/batches?pageSize=100&pageToken=t", page)
    gemini = client("gemini", "")

    with pytest.raises(NoUpstreamAnswer, match="does not come to an end"):
        await gemini.batches.find(gemini.account, JOB)


async def test_the_oldest_job_of_a_name_is_the_first(client: MakeClient, recorder: Recorder) -> None:
    found = [
        {"name": name, "metadata": {"state": "BATCH_STATE_RUNNING", "displayName": "tok_1", "createTime": time}}
        for name, time in (
            ("batches/b", "2026-09-21T14:13:22Z"),
            ("batches/a", "2026-09-21T14:13:21.123456789Z"),
            ("batches/before-the-create", "2026-09-21T13:00:00Z"),
        )
    ]
    recorder.answer("GET /v1beta/batches?pageSize=100", {"operations": found})
    gemini = client("gemini", "")

    assert [upstream.id for upstream in await gemini.batches.find(gemini.account, JOB)] == ["batches/a", "batches/b"]
