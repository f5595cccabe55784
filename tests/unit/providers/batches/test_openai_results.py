"""Result files of the OpenAI client, with lines as they were seen (native-lanes 2.1, 10.2)."""

from __future__ import annotations

import logging

import msgspec
import pytest

from batchgate.engine.model.errors import NoUpstreamAnswer, UpstreamError
from batchgate.engine.ports.provider_batches import NativeResult
from batchgate.providers.handlers.openai import OpenAIHandler
from batchgate.providers.registry import known_servers
from tests.unit.providers.batches.conftest import MakeClient
from tests.unit.providers.batches.recorder import Recorder, job
from tests.unit.providers.batches.test_openai_wire import BATCH
from tests.unit.providers.calls import COMPLETION, row

HANDLER = OpenAIHandler(known_servers.OPENAI)
CHAT_ROW = row(kind="chat_completions")


def succeeded(row_id: str) -> dict[str, object]:
    response = {"status_code": 200, "request_id": "req_1", "body": COMPLETION}
    return {"id": "batch_req_1", "custom_id": row_id, "response": response, "error": None}


def jsonl(*lines: object) -> bytes:
    return b"".join((line if isinstance(line, bytes) else msgspec.json.encode(line)) + b"\n" for line in lines)


async def read(
    client: MakeClient, recorder: Recorder, output: bytes | None, error: bytes | None = None
) -> list[NativeResult]:
    """Return the results of a completed job with these files."""
    files = {"output_file_id": "out" if output is not None else None, "error_file_id": "err" if error else None}
    recorder.answer("GET /v1/batches/batch_1", BATCH | files | {"status": "completed"})
    recorder.answer("GET /v1/files/out/content", output)
    recorder.answer("GET /v1/files/err/content", error)
    return await client("openai").results(job())


async def test_the_results_are_those_of_both_files(client: MakeClient, recorder: Recorder) -> None:
    never_run = {"id": "b", "custom_id": "r2", "response": None, "error": {"code": "batch_expired", "message": "late"}}
    results = await read(client, recorder, jsonl(succeeded("r1"), succeeded("r0")), jsonl(never_run))

    assert [result.row_id for result in results] == ["r1", "r0", "r2"]
    assert results[2] == NativeResult(row_id="r2", response=None, unfinished="expired")


async def test_an_answer_is_decoded_as_that_of_the_live_api(client: MakeClient, recorder: Recorder) -> None:
    (result,) = await read(client, recorder, jsonl(succeeded("r0")))

    assert result.response is not None
    assert msgspec.json.decode(HANDLER.decode(CHAT_ROW, result.response)) == COMPLETION


async def test_a_refused_row_is_the_error_of_the_live_api(client: MakeClient, recorder: Recorder) -> None:
    body = {"error": {"message": "Invalid 'temperature'", "type": "invalid_request_error", "param": "temperature"}}
    response = {"status_code": 400, "request_id": "req_9", "body": body}
    (result,) = await read(client, recorder, jsonl({"custom_id": "r0", "response": response, "error": None}))

    assert result.response is not None
    with pytest.raises(UpstreamError) as caught:
        HANDLER.decode(CHAT_ROW, result.response)
    assert (caught.value.status, caught.value.kind, caught.value.retry_safe) == (400, "invalid_request_error", False)
    assert (caught.value.request_id, caught.value.provider_param) == ("req_9", "temperature")


@pytest.mark.parametrize(
    ("code", "unfinished"),
    [("batch_expired", "expired"), ("batch_cancelled", "canceled"), ("batch_canceled", "canceled")],
)
async def test_a_row_that_did_not_run_has_no_response(
    client: MakeClient, recorder: Recorder, code: str, unfinished: str
) -> None:
    line = {"custom_id": "r0", "response": None, "error": {"code": code, "message": "This request was not executed."}}
    (result,) = await read(client, recorder, jsonl(line))

    assert (result.response, result.unfinished) == (None, unfinished)


@pytest.mark.parametrize(
    ("error", "status", "retry_safe"),
    [
        ({"code": "400", "message": "Failed to download one or more images", "param": None, "type": None}, 400, False),
        ({"code": "500", "message": "Stream options can only be defined when stream is true"}, 500, True),
        ({"code": "model_not_found", "message": "no such model"}, 404, False),
        ({"code": "batch_client_error", "message": "Maximum four stop sequences allowed"}, 400, False),
        ({"code": "timeout", "message": "took too long"}, 504, True),
        ({"code": "batch_failed", "message": "failed"}, 500, True),
        ("Batch row failed", 500, True),
        (None, 500, True),
    ],
    ids=["deepinfra 400", "deepinfra 500", "model", "client", "timeout", "failed", "a text", "nothing"],
)
async def test_an_error_without_a_response_becomes_one_with_a_fitting_status(
    client: MakeClient, recorder: Recorder, error: object, status: int, *, retry_safe: bool
) -> None:
    (result,) = await read(client, recorder, jsonl({"custom_id": "r0", "response": None, "error": error}))

    assert result.response is not None
    with pytest.raises(UpstreamError) as caught:
        HANDLER.decode(CHAT_ROW, result.response)
    assert (caught.value.status, caught.value.retry_safe) == (status, retry_safe)
    message = error["message"] if isinstance(error, dict) else error or "neither a response nor an error"
    assert str(message) in caught.value.message


async def test_null_and_absent_are_the_same(client: MakeClient, recorder: Recorder) -> None:
    line = {"custom_id": "r0", "response": {"body": COMPLETION}}
    (result,) = await read(client, recorder, jsonl(line))

    assert result.response is not None
    assert result.response.status == 200


async def test_foreign_ids_are_yielded_and_lines_that_are_no_results_are_logged_once(
    client: MakeClient, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    lines = jsonl(b"\xef\xbb\xbf" + msgspec.json.encode(succeeded("r0")), b"", b"not json secret", {"custom_id": 7})
    lines += jsonl(succeeded("somebody else's")) + msgspec.json.encode(succeeded("r1"))
    with caplog.at_level(logging.WARNING):
        results = await read(client, recorder, lines.replace(b"\n", b"\r\n"))

    assert [result.row_id for result in results] == ["r0", "somebody else's", "r1"]
    assert [record.getMessage() for record in caplog.records] == [
        "account acc: 2 lines of a result file of job tok_1 are no results; the first is line 3"
    ]


async def test_a_text_that_cannot_be_decoded_is_no_result(client: MakeClient, recorder: Recorder) -> None:
    broken = b'{"custom_id":"r0","response":{"status_code":500,"body":"\xff"}}'
    results = await read(client, recorder, jsonl(broken, succeeded("r1")))

    assert [result.row_id for result in results] == ["r1"]


async def test_an_empty_error_file_has_no_results(client: MakeClient, recorder: Recorder) -> None:
    recorder.answer(
        "GET /v1/batches/batch_1", BATCH | {"status": "completed", "output_file_id": "out", "error_file_id": "err"}
    )
    recorder.answer("GET /v1/files/out/content", jsonl(succeeded("r0")))
    recorder.answer("GET /v1/files/err/content", b"")

    assert [result.row_id for result in await client("openai").results(job())] == ["r0"]


async def test_a_file_that_is_gone_is_reported_after_the_rows_of_the_others(
    client: MakeClient, recorder: Recorder
) -> None:
    upstream = BATCH | {"status": "completed", "output_file_id": "out", "error_file_id": "err"}
    recorder.answer("GET /v1/batches/batch_1", upstream)
    recorder.answer("GET /v1/files/out/content", {"error": {"message": "No such File object: out"}}, status=404)
    recorder.answer("GET /v1/files/err/content", jsonl(succeeded("r0")))
    openai = client("openai")
    seen = await openai.batches.poll(openai.account, job())
    assert seen is not None

    results = openai.batches.results(openai.account, job(), seen)

    assert [result.row_id for result in await anext(results)] == ["r0"]
    with pytest.raises(UpstreamError, match="No such File object") as caught:
        await anext(results)
    assert caught.value.status == 404


async def test_a_file_that_is_cut_off_in_a_line_is_read_again(client: MakeClient, recorder: Recorder) -> None:
    lines = jsonl(succeeded("r0"), succeeded("r1"))
    with pytest.raises(NoUpstreamAnswer, match="it ends in the middle of line 2") as caught:
        await read(client, recorder, lines[:-9])

    assert caught.value.retry_safe


async def test_a_file_with_far_more_lines_than_the_job_has_requests_is_refused(
    client: MakeClient, recorder: Recorder
) -> None:
    with pytest.raises(NoUpstreamAnswer, match="more than 1004 lines for 2 requests") as caught:
        await read(client, recorder, b"{}\n" * 1005)

    assert not caught.value.retry_safe
