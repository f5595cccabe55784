"""What is special about Cohere's batches: datasets that are validated, and results in Avro (native-lanes 2.12)."""

from __future__ import annotations

import io
import sys
from typing import Any, Final

import msgspec
import pytest
from fastavro import writer

from batchgate.engine.model.errors import NoUpstreamAnswer, UpstreamError
from batchgate.engine.model.native_job import PlannedRow
from batchgate.engine.ports.provider_batches import NativeResult
from batchgate.providers.batches.cohere_batches import CohereBatches
from batchgate.providers.batches.http_exchange import HttpExchange
from batchgate.providers.handlers.cohere import CohereHandler
from batchgate.providers.registry.known_servers import COHERE
from batchgate.providers.simulator.batches.cohere_schemas import SCHEMAS
from tests.unit.providers.batches.conftest import MakeClient
from tests.unit.providers.batches.recorder import KEY, Client, Recorder, job, rows
from tests.unit.providers.calls import account, row

UPLOAD: Final = (
    "POST /v1/datasets?name=batchgate-tok_1&type=batch-chat-v2-input&keep_fields=custom_id&skip_malformed_input=true"
)
DATASET: Final = "GET /v1/datasets/file-1"
PLANNED: Final = [PlannedRow(row_id="r0", line=b'{"custom_id":"r0"}')]
CHAT: Final = "batch-chat-v2-input"
EMBED: Final = "batch-embed-v2-input"
FREE_FORM: Final = {
    "type": "record",
    "name": "Row",
    "fields": [
        {"name": "custom_id", "type": "string"},
        {"name": "response", "type": ["null", "string"]},
        {"name": "error", "type": ["null", "string"]},
    ],
}
"""A form of rows with JSON in texts."""


@pytest.fixture
def cohere(client: MakeClient, exchange: HttpExchange) -> Client:
    """Return a client that waits for nothing."""

    async def no_wait(_seconds: float) -> None:
        """Return at once."""

    made = client("cohere", "")
    made.batches = CohereBatches(CohereHandler(COHERE), exchange, no_wait)
    return made


def dataset(status: str = "validated", **fields: object) -> dict[str, Any]:
    return {"dataset": {"id": "in-1", "validation_status": status} | fields}


def found(status: str, **fields: object) -> dict[str, Any]:
    named = {"id": "batch_1", "name": "batchgate-tok_1", "output_dataset_id": "", "status_reason": None}
    return {"batch": named | {"status": f"BATCH_STATUS_{status}"} | fields}


def avro(schema: Any, *records: dict[str, Any], codec: str = "deflate") -> bytes:
    file = io.BytesIO()
    writer(file, schema, records, codec=codec)
    return file.getvalue()


def chat_body(finish: str = "COMPLETE", **message: Any) -> dict[str, Any]:
    said = {"role": "assistant", "content": [{"type": "text", "text": "Hi"}]} | message
    units = {"input_tokens": 9.0, "output_tokens": 2.0}
    return {"id": "c-1", "finish_reason": finish, "message": said, "usage": {"tokens": units, "cached_tokens": 4.0}}


def record(custom_id: str, body: dict[str, Any] | None, error: str = "") -> dict[str, Any]:
    return {"custom_id": custom_id, "body": body, "error": error}


async def results(cohere: Client, recorder: Recorder, content: bytes, kind: str = "cohere_chat") -> list[NativeResult]:
    """Read the results of a job whose output dataset has one part with this content."""
    recorder.answer("GET /v2/batches/batch_1", found("COMPLETED", output_dataset_id="out-1"))
    part = {"id": "p", "name": "p", "url": f"{recorder.url}/part?signed=1"}
    recorder.answer("GET /v1/datasets/out-1", dataset(dataset_parts=[part]))
    recorder.answer("GET /part?signed=1", content)
    return await cohere.results(job(kind=kind))


def body_of(result: NativeResult) -> Any:
    assert result.response is not None
    return msgspec.json.decode(result.response.body)


# Datasets


async def test_a_dataset_is_uploaded(cohere: Client, recorder: Recorder) -> None:
    recorder.answer(UPLOAD, {"id": "in-1"})
    assert await cohere.batches.upload(cohere.account, job(), rows(PLANNED)) == "in-1"
    assert b'name="data"; filename="batchgate-tok_1.jsonl"' in recorder.calls[0].body
    assert [call.headers["authorization"] for call in recorder.calls] == [f"Bearer {KEY}"]


async def test_embeddings_have_a_dataset_of_their_own_type(cohere: Client, recorder: Recorder) -> None:
    recorder.answer(UPLOAD.replace(CHAT, EMBED), {"id": "in-1"})
    assert await cohere.batches.upload(cohere.account, job(kind="cohere_embed"), rows(PLANNED)) == "in-1"


async def test_the_reason_of_a_dataset_that_is_refused_is_told(cohere: Client, recorder: Recorder) -> None:
    recorder.answer(DATASET, dataset("failed", validation_error=f"no rows for {KEY}"))
    with pytest.raises(UpstreamError, match=r"Cohere refused the dataset: no rows for \[key\]") as caught:
        await cohere.batches.create(cohere.account, job(), rows([]))
    assert (caught.value.status, caught.value.retry_safe) == (400, False)


async def test_a_dataset_that_is_never_validated_is_an_error_that_passes(cohere: Client, recorder: Recorder) -> None:
    recorder.answer(DATASET, dataset("processing"))
    with pytest.raises(UpstreamError, match="not validated after 181 s") as caught:
        await cohere.batches.create(cohere.account, job(), rows([]))
    assert caught.value.retry_safe


# Jobs


@pytest.mark.parametrize("ready", ["validated", "skipped"])
async def test_a_job_is_made_of_its_dataset_once_that_is_ready(cohere: Client, recorder: Recorder, ready: str) -> None:
    for status in ("unknown", "queued", "processing", ready):
        recorder.answer(DATASET, dataset(status))
    recorder.answer("POST /v2/batches", found("QUEUED"))
    created = await cohere.batches.create(cohere.account, job(), rows([]))
    sent = {"name": "batchgate-tok_1", "input_dataset_id": "file-1", "model": "model"}
    assert recorder.lines[:-1] == [DATASET] * 4
    assert msgspec.json.decode(recorder.calls[-1].body) == sent
    assert (created.id, created.status, created.outcome) == ("batch_1", "QUEUED", "running")


async def test_a_job_is_found_by_its_name_on_any_page(cohere: Client, recorder: Recorder) -> None:
    ours = found("IN_PROGRESS")["batch"]
    others = [ours | {"id": "b-2", "name": "other"}, ours | {"id": "b-3", "created_at": "2020-01-01T00:00:00Z"}]
    recorder.answer("GET /v2/batches?page_size=1000", {"batches": others, "next_page_token": "next"})
    recorder.answer("GET /v2/batches?page_size=1000&page_token=next", {"batches": [ours], "next_page_token": ""})
    assert [listed.id for listed in await cohere.batches.find(cohere.account, job())] == ["batch_1"]


@pytest.mark.parametrize(
    ("status", "output", "expected"),
    [
        ("QUEUED", "", ("running", (), False)),
        ("IN_PROGRESS", "out-1", ("running", (), False)),
        ("NEW_WORD", "out-1", ("running", (), False)),
        ("CANCELING", "", ("running", (), False)),
        ("COMPLETED", "out-1", ("completed", ("out-1",), False)),
        ("COMPLETED", "", ("completed", (), True)),
        ("FAILED", "", ("failed", (), False)),
        ("FAILED", "out-1", ("failed", ("out-1",), False)),
        ("CANCELED", "out-1", ("canceled", ("out-1",), False)),
        ("CANCELLED", None, ("canceled", (), False)),
    ],
)
async def test_the_output_of_every_end_is_read(
    cohere: Client, recorder: Recorder, status: str, output: str | None, expected: tuple[str, object, bool]
) -> None:
    recorder.answer("GET /v2/batches/batch_1", found(status, output_dataset_id=output, status_reason="no model"))
    polled = await cohere.batches.poll(cohere.account, job())
    assert polled is not None
    assert (polled.outcome, polled.results, polled.awaits_results) == expected
    assert [fault.message for fault in polled.faults] == (["no model"] if expected[0] == "failed" else [])


async def test_a_cancel_that_comes_too_late_is_no_error(cohere: Client, recorder: Recorder) -> None:
    recorder.answer("POST /v2/batches/batch_1:cancel", {"message": "cannot be canceled"}, status=400)
    recorder.answer("GET /v2/batches/batch_1", found("CANCELING"))
    recorder.answer("GET /v2/batches/batch_1", found("COMPLETED"))
    recorder.answer("GET /v2/batches/batch_1", found("QUEUED"))
    await cohere.batches.cancel(cohere.account, job())
    await cohere.batches.cancel(cohere.account, job())
    with pytest.raises(UpstreamError, match="cannot be canceled"):
        await cohere.batches.cancel(cohere.account, job())


async def test_both_datasets_of_a_job_are_deleted(cohere: Client, recorder: Recorder) -> None:
    recorder.answer("GET /v2/batches/batch_1", found("COMPLETED", output_dataset_id="out-1"))
    recorder.answer("DELETE /v1/datasets/file-1", {"message": "gone"}, status=404)
    recorder.answer("DELETE /v1/datasets/out-1", {})
    upstream = await cohere.batches.poll(cohere.account, job())
    await cohere.batches.discard(cohere.account, job(), upstream)
    assert recorder.lines[1:] == ["DELETE /v1/datasets/file-1", "DELETE /v1/datasets/out-1"]


# Results


async def test_answers_are_those_of_the_live_api_without_the_nulls_of_avro(cohere: Client, recorder: Recorder) -> None:
    call = {"id": "t-1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    chat = chat_body("TOOL_CALL", content=None, tool_calls=[call], tool_plan="I call f.")
    content = avro(SCHEMAS[CHAT], record("r0", chat), record("r1", None, "Invalid request"))
    first, second = await results(cohere, recorder, content)
    assert body_of(first) == {
        "id": "c-1",
        "finish_reason": "TOOL_CALL",
        "message": {"role": "assistant", "tool_calls": [call], "tool_plan": "I call f."},
        "usage": {"tokens": {"input_tokens": 9.0, "output_tokens": 2.0}, "cached_tokens": 4.0},
    }
    assert second.response is not None
    assert (second.response.status, body_of(second)["error"]["message"]) == (500, "Invalid request")
    assert not any(KEY in str(call.headers) for call in recorder.calls if call.line.startswith("GET /part"))


async def test_the_parts_of_a_dataset_are_read_in_order(cohere: Client, recorder: Recorder) -> None:
    recorder.answer("GET /v2/batches/batch_1", found("COMPLETED", output_dataset_id="out-1"))
    parts = [{"id": str(n), "name": "p", "index": n, "url": f"{recorder.url}/part-{n}"} for n in (1, 0)]
    recorder.answer("GET /v1/datasets/out-1", dataset("processing"))
    recorder.answer("GET /v1/datasets/out-1", dataset(dataset_parts=parts))
    for n in (0, 1):
        recorder.answer(f"GET /part-{n}", avro(SCHEMAS[CHAT], record(f"r{n}", chat_body()), codec="null"))
    assert [result.row_id for result in await cohere.results(job(kind="cohere_chat"))] == ["r0", "r1"]


async def test_chat_requests_get_completions(cohere: Client, recorder: Recorder) -> None:
    call = {"id": "t-1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    thought = [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Hi"}]
    content = avro(
        SCHEMAS[CHAT],
        record("r0", chat_body(content=thought)),
        record("r1", chat_body("TOOL_CALL", content=None, tool_calls=[call], tool_plan="I call f.")),
        record("r2", chat_body("MAX_TOKENS", content=[])),
        record("r3", None, '{"message":"slow down","status_code":429}'),
    )
    first, second, third, fourth = await results(cohere, recorder, content, "chat_completions")
    answer = body_of(first)
    assert answer["choices"][0]["message"]["content"] == "Hi"
    assert answer["choices"][0]["message"]["reasoning_content"] == "Hm."
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert (answer["id"], answer["model"], answer["object"]) == ("c-1", "model", "chat.completion")
    counts = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
    assert answer["usage"] == counts | {"prompt_tokens_details": {"cached_tokens": 4}}
    called = body_of(second)["choices"][0]
    assert (called["finish_reason"], called["message"]["tool_calls"]) == ("tool_calls", [call])
    assert called["message"]["content"] == "I call f."
    assert body_of(third)["choices"][0]["finish_reason"] == "length"
    assert fourth.response is not None
    assert fourth.response.status == 429


async def test_a_completion_that_cohere_did_not_finish_is_an_error(cohere: Client, recorder: Recorder) -> None:
    content = avro(SCHEMAS[CHAT], record("r0", chat_body("ERROR")))
    (result,) = await results(cohere, recorder, content, "chat_completions")
    assert result.response is not None
    with pytest.raises(NoUpstreamAnswer, match=r"incomplete \(finish_reason 'ERROR'\)"):
        CohereHandler(COHERE).decode(row(kind="chat_completions"), result.response)


async def test_rows_may_have_their_answer_as_json_in_a_text(cohere: Client, recorder: Recorder) -> None:
    plain, wrapped = chat_body(), {"status_code": 400, "body": {"message": "no"}}
    encoded = [msgspec.json.encode(body).decode() for body in (plain, wrapped)]
    content = avro(
        FREE_FORM,
        {"custom_id": "r0", "response": encoded[0], "error": None},
        {"custom_id": "r1", "response": encoded[1], "error": None},
        {"custom_id": "r2", "response": None, "error": None},
    )
    found_results = await results(cohere, recorder, content)
    shown = [(result.response.status, body_of(result)) for result in found_results if result.response is not None]
    assert shown[:2] == [(200, plain), (400, {"message": "no"})]
    assert shown[2][0] == 500


async def test_a_row_without_an_id_is_skipped(
    cohere: Client, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    nameless = {"type": "record", "name": "Row", "fields": [{"name": "body", "type": "string"}]}
    assert await results(cohere, recorder, avro(nameless, {"body": "x"})) == []
    assert "are no results; the first is line 1" in caplog.text


async def test_far_more_rows_than_requests_are_refused(cohere: Client, recorder: Recorder) -> None:
    content = avro(SCHEMAS[CHAT], *(record(f"r{n}", None) for n in range(1100)))
    with pytest.raises(NoUpstreamAnswer, match="more than 1004 lines for 2 requests") as caught:
        await results(cohere, recorder, content)
    assert not caught.value.retry_safe


@pytest.mark.parametrize(
    ("content", "problem", "retry_safe"),
    [
        (b"<html>gone</html>", "it is no Avro file", False),
        (avro(SCHEMAS[CHAT], record("r0", chat_body()))[:-20], "it ends in a block", True),
        (avro(SCHEMAS[CHAT], record("r0", chat_body()), codec="bzip2"), "its codec is 'bzip2'", False),
        (avro(SCHEMAS[CHAT], record("r0", chat_body())).replace(b'"record"', b'"recond"'), "cannot be decoded", False),
    ],
)
async def test_a_broken_file_is_said(
    cohere: Client, recorder: Recorder, content: bytes, problem: str, retry_safe: bool
) -> None:
    with pytest.raises(NoUpstreamAnswer, match=f"result file is not usable: .*{problem}") as caught:
        await results(cohere, recorder, content)
    assert caught.value.retry_safe is retry_safe


# The extra


def without_fastavro(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the import of fastavro fail, as it does where the extra is not installed."""
    monkeypatch.setitem(sys.modules, "fastavro", None)
    monkeypatch.delitem(sys.modules, "batchgate.providers.batches.avro_records", raising=False)


async def test_without_the_extra_results_wait_for_it(
    cohere: Client, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = avro(SCHEMAS[CHAT], record("r0", chat_body()))
    without_fastavro(monkeypatch)
    needed = r"Avro, which needs the extra cohere: pip install 'batchgate\[cohere\]'"
    with pytest.raises(NoUpstreamAnswer, match=needed) as caught:
        await results(cohere, recorder, content)
    assert caught.value.retry_safe


def test_without_the_extra_requests_run_directly(cohere: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    request = row(b'{"model":"m","messages":[]}', kind="cohere_chat")
    assert cohere.batches.refusal(request) is None
    without_fastavro(monkeypatch)
    reason = cohere.batches.refusal(request)
    assert reason is not None
    assert "pip install 'batchgate[cohere]'" in reason


def test_a_row_has_the_input_type_of_its_account(cohere: Client) -> None:
    request = row(b'{"model":"model","input":"a"}', kind="embeddings")
    planned = cohere.batches.encode(account(embedding_input_type="clustering"), request, "r0")
    body = {"input_type": "clustering", "texts": ["a"], "embedding_types": ["float"]}
    assert msgspec.json.decode(planned.line) == {"custom_id": "r0", "body": body}
