"""The calls of the OpenAI client byte by byte, with answers as they were seen (native-lanes 2.1, 10)."""

from __future__ import annotations

import re

import msgspec
import pytest

from batchgate.engine.model.errors import NoUpstreamAnswer, UpstreamError
from batchgate.engine.model.native_job import PlannedRow
from tests.unit.providers.batches.conftest import MakeClient
from tests.unit.providers.batches.recorder import CREATING_AT, KEY, Recorder, job, rows
from tests.unit.providers.calls import Json, row

CHAT = b'{"model":"model","messages":[{"role":"user","content":"Hello"}]}'
BATCH: Json = {
    "id": "batch_1",
    "object": "batch",
    "endpoint": "/v1/chat/completions",
    "model": None,
    "errors": None,
    "input_file_id": "file-1",
    "completion_window": "24h",
    "status": "validating",
    "output_file_id": None,
    "error_file_id": None,
    "created_at": CREATING_AT // 1_000_000,
    "request_counts": {"total": 0, "completed": 0, "failed": 0},
    "metadata": None,
}
"""The first answer after a create (native-lanes 2.1, recorded traffic)."""


async def test_a_row_is_the_body_of_the_live_call_under_our_id(client: MakeClient) -> None:
    openai = client("openai")

    planned = openai.batches.encode(openai.account, row(CHAT, kind="chat_completions"), "r7")

    assert planned == PlannedRow(
        row_id="r7",
        line=b'{"custom_id":"r7","method":"POST","url":"/v1/chat/completions","body":%s}' % CHAT,
    )


async def test_a_messages_row_is_translated_as_in_the_direct_lane(client: MakeClient) -> None:
    openai = client("openai")

    line = msgspec.json.decode(openai.batches.encode(openai.account, row(), "r0").line)

    assert line["url"] == "/v1/chat/completions"
    assert line["body"]["max_completion_tokens"] == 64
    assert "max_tokens" not in line["body"]


async def test_a_pretty_printed_row_becomes_one_line(client: MakeClient) -> None:
    openai = client("openai")
    params = b'{\n  "model": "model",\r\n  "messages": []\n}'

    planned = openai.batches.encode(openai.account, row(params, kind="chat_completions"), "r0")

    assert b"\n" not in planned.line
    assert msgspec.json.decode(planned.line)["body"] == {"model": "model", "messages": []}


async def test_an_upload_is_a_form_with_the_purpose_first_and_one_line_a_row(
    client: MakeClient, recorder: Recorder
) -> None:
    recorder.answer("POST /v1/files", {"id": "file-1", "object": "file", "status": "processed"})
    openai = client("openai")

    file = await openai.batches.upload(
        openai.account, job(), rows(PlannedRow(row_id=f"r{n}", line=b'{"n":%d}' % n) for n in range(2))
    )

    (call,) = recorder.calls
    boundary = re.fullmatch(r"multipart/form-data; boundary=(\S+)", call.headers["content-type"])
    assert boundary is not None
    assert file == "file-1"
    assert call.headers["authorization"] == f"Bearer {KEY}"
    assert call.body.decode().replace(boundary[1], "B") == (
        '--B\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        '--B\r\ncontent-disposition: form-data; name="file"; filename="batchgate-tok_1.jsonl"\r\n'
        'content-type: application/jsonl\r\n\r\n{"n":0}\n{"n":1}\n\r\n--B--\r\n'
    )


async def test_a_create_names_the_file_the_endpoint_and_our_token(client: MakeClient, recorder: Recorder) -> None:
    recorder.answer("POST /v1/batches", BATCH)
    openai = client("openai")

    created = await openai.batches.create(openai.account, job(), rows([]))

    (call,) = recorder.calls
    assert call.headers["content-type"] == "application/json"
    assert "idempotency-key" not in call.headers
    assert msgspec.json.decode(call.body) == {
        "input_file_id": "file-1",
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
        "metadata": {"batchgate_job": "tok_1"},
    }
    assert (created.id, created.status, created.outcome) == ("batch_1", "validating", "running")


@pytest.mark.parametrize(
    ("kind", "endpoint"),
    [
        ("responses", "/v1/responses"),
        ("embeddings", "/v1/embeddings"),
        ("completions", "/v1/completions"),
    ],
)
async def test_each_kind_has_its_endpoint(client: MakeClient, recorder: Recorder, kind: str, endpoint: str) -> None:
    recorder.answer("POST /v1/batches", BATCH)
    openai = client("openai")

    await openai.batches.create(openai.account, job(kind=kind), rows([]))

    assert msgspec.json.decode(recorder.calls[0].body)["endpoint"] == endpoint


async def test_a_file_that_is_not_visible_yet_is_a_refusal_that_passes(client: MakeClient, recorder: Recorder) -> None:
    message = "Cannot find file file-1, or organization org-1 does not have access to it."
    recorder.answer("POST /v1/batches", {"error": {"message": message, "type": "invalid_request_error"}}, status=400)
    openai = client("openai")

    with pytest.raises(UpstreamError) as caught:
        await openai.batches.create(openai.account, job(), rows([]))

    assert (caught.value.status, caught.value.retry_safe, caught.value.retry_after) == (400, True, 5.0)
    assert len(recorder.calls) == 1


async def test_a_create_is_sent_once_whatever_the_answer(client: MakeClient, recorder: Recorder) -> None:
    recorder.answer("POST /v1/batches", {"error": {"message": "boom"}}, status=503)
    openai = client("openai")

    with pytest.raises(UpstreamError):
        await openai.batches.create(openai.account, job(), rows([]))

    assert len(recorder.calls) == 1


async def test_a_create_whose_answer_is_no_batch_may_have_made_one(client: MakeClient, recorder: Recorder) -> None:
    recorder.answer("POST /v1/batches", b"<html>hello</html>")
    openai = client("openai")

    with pytest.raises(NoUpstreamAnswer, match="the body is not a batch"):
        await openai.batches.create(openai.account, job(), rows([]))


async def test_a_find_reads_pages_back_to_the_create_call_and_no_further(
    client: MakeClient, recorder: Recorder
) -> None:
    created = CREATING_AT // 1_000_000
    newest = [BATCH | {"id": "batch_9", "created_at": created + 9, "metadata": {"batchgate_job": "tok_1"}}]
    newest += [BATCH | {"id": "batch_8", "created_at": created + 8, "metadata": {"batchgate_job": "other"}}]
    older = [BATCH | {"id": "batch_7", "created_at": created + 7, "metadata": {"batchgate_job": "tok_1"}}]
    older += [BATCH | {"id": "batch_6", "created_at": created - 61}]
    recorder.answer("GET /v1/batches?limit=100", {"object": "list", "data": newest, "has_more": True})
    recorder.answer("GET /v1/batches?limit=100&after=batch_8", {"object": "list", "data": older, "has_more": True})
    openai = client("openai")

    found = await openai.batches.find(openai.account, job())

    assert [upstream.id for upstream in found] == ["batch_7", "batch_9"]
    assert len(recorder.calls) == 2


async def test_a_list_that_goes_in_circles_is_no_proof_that_there_is_no_job(
    client: MakeClient, recorder: Recorder
) -> None:
    page = {"object": "list", "data": [BATCH], "has_more": True}
    recorder.answer("GET /v1/batches?limit=100", page)
    recorder.answer("GET /v1/batches?limit=100&after=batch_1", page)
    openai = client("openai")

    with pytest.raises(NoUpstreamAnswer, match="does not come to an end"):
        await openai.batches.find(openai.account, job())


async def test_a_poll_of_an_unknown_job_returns_none(client: MakeClient, recorder: Recorder) -> None:
    recorder.answer("GET /v1/batches/batch_1", {"error": {"message": "No batch found with id 'batch_1'."}}, status=404)
    openai = client("openai")

    assert await openai.batches.poll(openai.account, job()) is None


async def test_a_cancel_has_no_body(client: MakeClient, recorder: Recorder) -> None:
    recorder.answer("POST /v1/batches/batch_1/cancel", BATCH | {"status": "cancelling"})
    openai = client("openai")

    await openai.batches.cancel(openai.account, job())

    assert recorder.calls[0].body == b""


@pytest.mark.parametrize("state", ["completed", "cancelled", "cancelling"])
async def test_a_cancel_of_a_job_that_ends_already_is_no_error(
    client: MakeClient, recorder: Recorder, state: str
) -> None:
    recorder.answer("POST /v1/batches/batch_1/cancel", {"detail": {"error": "batch already ended"}}, status=400)
    recorder.answer("GET /v1/batches/batch_1", BATCH | {"status": state})
    openai = client("openai")

    await openai.batches.cancel(openai.account, job())

    assert len(recorder.calls) == 2


async def test_a_cancel_that_is_refused_while_the_job_runs_is_an_error(client: MakeClient, recorder: Recorder) -> None:
    recorder.answer("POST /v1/batches/batch_1/cancel", {"error": {"message": "not now"}}, status=409)
    recorder.answer("GET /v1/batches/batch_1", BATCH | {"status": "in_progress"})
    openai = client("openai")

    with pytest.raises(UpstreamError, match="not now"):
        await openai.batches.cancel(openai.account, job())


async def test_a_discard_tries_every_file_and_accepts_those_that_are_gone(
    client: MakeClient, recorder: Recorder
) -> None:
    recorder.answer("GET /v1/batches/batch_1", BATCH | {"output_file_id": "out/1", "error_file_id": "err"})
    recorder.answer("DELETE /v1/files/file-1", {"error": {"message": "locked"}}, status=403)
    recorder.answer("DELETE /v1/files/out%2F1", {"error": {"message": "gone"}}, status=404)
    recorder.answer("DELETE /v1/files/err", {"id": "err", "deleted": True})
    openai = client("openai")
    upstream = await openai.batches.poll(openai.account, job())

    with pytest.raises(UpstreamError, match="locked"):
        await openai.batches.discard(openai.account, job(), upstream)

    assert recorder.lines[1:] == ["DELETE /v1/files/file-1", "DELETE /v1/files/out%2F1", "DELETE /v1/files/err"]
