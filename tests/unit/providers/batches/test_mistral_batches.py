"""What is special about Mistral's batch jobs (native-lanes 2.7, 10.2)."""

from __future__ import annotations

import msgspec
import pytest

from batchgate.engine.model.errors import UpstreamError
from batchgate.engine.model.native_job import PlannedRow
from batchgate.providers.handlers.openai import OpenAIHandler
from batchgate.providers.registry import known_servers
from tests.unit.providers.batches.conftest import MakeClient
from tests.unit.providers.batches.recorder import CREATING_AT, Recorder, job, rows
from tests.unit.providers.calls import row

JOB = {"id": "batch_1", "status": "QUEUED", "created_at": CREATING_AT // 1_000_000}


async def test_a_job_is_created_with_its_model_and_its_token(client: MakeClient, recorder: Recorder) -> None:
    recorder.answer("POST /v1/batch/jobs", JOB)
    mistral = client("mistral")
    created = await mistral.batches.create(mistral.account, job(), rows([]))

    assert msgspec.json.decode(recorder.calls[0].body) == {
        "input_files": ["file-1"],
        "endpoint": "/v1/chat/completions",
        "model": "model",
        "metadata": {"batchgate_job": "tok_1"},
        "timeout_hours": 24,
    }
    assert (created.id, created.outcome) == ("batch_1", "running")


async def test_the_refusal_of_a_file_names_the_row(client: MakeClient, recorder: Recorder) -> None:
    fault = {"loc": [7, "body", "temperature"], "msg": "Input should be less than or equal to 1.5"}
    recorder.answer("POST /v1/files", {"detail": "Invalid file format.", "errors": [fault]}, status=422)
    mistral = client("mistral")

    with pytest.raises(UpstreamError) as caught:
        await mistral.batches.upload(mistral.account, job(), rows([PlannedRow(row_id="r0", line=b"{}")]))

    assert caught.value.message == "7.body.temperature: Input should be less than or equal to 1.5"
    assert not caught.value.retry_safe


async def test_an_error_that_is_json_in_a_text_is_unpacked(client: MakeClient, recorder: Recorder) -> None:
    error = {"object": "error", "message": "no such image", "type": "invalid_request_file", "code": "3310"}
    line = {"custom_id": "r0", "response": {"status_code": 400, "body": msgspec.json.encode(error).decode()}}
    recorder.answer("GET /v1/batch/jobs/batch_1", JOB | {"status": "CANCELLED", "error_file": "bad"})
    recorder.answer("GET /v1/files/bad/content", msgspec.json.encode(line) + b"\n")
    mistral = client("mistral")
    (result,) = await mistral.results(job())

    assert result.response is not None
    with pytest.raises(UpstreamError) as caught:
        OpenAIHandler(known_servers.MISTRAL).decode(row(), result.response)
    assert (caught.value.status, caught.value.message, caught.value.provider_code) == (400, "no such image", "3310")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"status": "CANCELLED", "succeeded_requests": 8, "output_file": "good"}, ("canceled", ("good",), False)),
        ({"status": "CANCELLED", "succeeded_requests": 0}, ("canceled", (), False)),
        ({"status": "SUCCESS", "output_file": None, "error_file": None}, ("completed", (), True)),
        ({"status": "TIMEOUT_EXCEEDED"}, ("expired", (), False)),
        ({"status": "CANCELLATION_REQUESTED"}, ("running", (), False)),
    ],
)
async def test_files_outrank_the_state(
    client: MakeClient, recorder: Recorder, fields: dict[str, object], expected: tuple[str, tuple[str, ...], bool]
) -> None:
    recorder.answer("GET /v1/batch/jobs/batch_1", JOB | fields)
    mistral = client("mistral")
    polled = await mistral.batches.poll(mistral.account, job())

    assert polled is not None
    assert (polled.outcome, polled.results, polled.awaits_results) == expected


async def test_the_search_for_a_job_ends_before_jobs_that_are_older_than_its_create_call(
    client: MakeClient, recorder: Recorder
) -> None:
    ours = JOB | {"metadata": {"batchgate_job": "tok_1"}}
    others = [JOB | {"id": f"other-{number}", "metadata": {"batchgate_job": 1}} for number in range(98)]
    old = JOB | {"id": "old", "created_at": CREATING_AT // 1_000_000 - 3600, "metadata": {"batchgate_job": "tok_1"}}
    path = "GET /v1/batch/jobs?page={}&page_size=100&order_by=-created"
    recorder.answer(path.format(0), {"data": [*others, ours, ours], "object": "list", "total": 900})
    recorder.answer(path.format(1), {"data": [ours] * 99 + [old], "object": "list", "total": 900})
    mistral = client("mistral")

    assert [found.id for found in await mistral.batches.find(mistral.account, job())] == ["batch_1"]
    assert len(recorder.calls) == 2
