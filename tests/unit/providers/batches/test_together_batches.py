"""What is special about Together's batches (native-lanes 2.9)."""

from __future__ import annotations

import msgspec

from batchgate.engine.model.native_job import PlannedRow
from tests.unit.providers.batches.conftest import MakeClient
from tests.unit.providers.batches.recorder import Recorder, job, rows

JOB = {"id": "batch_1", "status": "VALIDATING", "input_file_id": "file-1", "created_at": "2026-09-21T14:13:20Z"}


async def test_a_file_is_uploaded_in_one_call(client: MakeClient, recorder: Recorder) -> None:
    recorder.answer("POST /v1/files/upload", {"id": "file-1"})
    together = client("together")
    await together.batches.upload(together.account, job(), rows([PlannedRow(row_id="r0", line=b"{}")]))

    (upload,) = recorder.calls
    assert b'name="purpose"\r\n\r\nbatch-api\r\n' in upload.body
    assert b'name="file_name"\r\n\r\nbatchgate-tok_1.jsonl\r\n' in upload.body
    assert upload.headers["user-agent"].startswith("batchgate"), "the edge refuses clients without a name"


async def test_a_created_job_is_in_a_wrapper_and_is_polled_rarely(client: MakeClient, recorder: Recorder) -> None:
    recorder.answer("POST /v1/batches", {"job": JOB, "warning": "slow"}, status=201)
    together = client("together")
    created = await together.batches.create(together.account, job(), rows([]))

    sent = {"input_file_id": "file-1", "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    assert msgspec.json.decode(recorder.calls[0].body) == sent
    assert (created.id, created.outcome, created.retry_after) == ("batch_1", "running", 30.0)


async def test_jobs_are_found_by_their_input_file_the_oldest_first(client: MakeClient, recorder: Recorder) -> None:
    later = JOB | {"id": "later", "created_at": "2026-09-21T14:13:21Z"}
    earlier = JOB | {"id": "earlier", "created_at": "2026-09-21T13:00:00Z"}
    recorder.answer("GET /v1/batches", [later, JOB | {"id": "other", "input_file_id": "file-2"}, JOB, earlier])
    together = client("together")

    assert [found.id for found in await together.batches.find(together.account, job())] == ["batch_1", "later"]


async def test_a_failed_job_says_why_in_a_text(client: MakeClient, recorder: Recorder) -> None:
    text = "Invalid model ID: Unable to access non-serverless model m"
    recorder.answer("GET /v1/batches/batch_1", JOB | {"status": "FAILED", "error": text})
    together = client("together")
    failed = await together.batches.poll(together.account, job())

    assert failed is not None
    assert (failed.outcome, failed.results, failed.awaits_results) == ("failed", (), False)
    assert [fault.message for fault in failed.faults] == [text]


async def test_an_unknown_word_means_that_the_job_runs(client: MakeClient, recorder: Recorder) -> None:
    recorder.answer("GET /v1/batches/batch_1", JOB | {"status": "CANCELING"})
    together = client("together")
    polled = await together.batches.poll(together.account, job())

    assert polled is not None
    assert (polled.outcome, polled.status) == ("running", "CANCELING")


async def test_a_job_that_has_ended_needs_no_cancel(client: MakeClient, recorder: Recorder) -> None:
    refusal = {"error": "Cannot cancel job - already in terminal state: COMPLETED"}
    recorder.answer("POST /v1/batches/batch_1/cancel", refusal, status=409)
    together = client("together")

    await together.batches.cancel(together.account, job())

    assert len(recorder.calls) == 1
