"""What is special about Fireworks' batch inference jobs (native-lanes 2.10)."""

from __future__ import annotations

import re

import msgspec
import pytest

from batchgate.engine.model.errors import UpstreamError
from batchgate.engine.model.native_job import PlannedRow
from tests.unit.providers.batches.conftest import MakeClient
from tests.unit.providers.batches.recorder import KEY, Client, Recorder, job, rows
from tests.unit.providers.batches.test_openai_wire import CHAT
from tests.unit.providers.calls import row

ACCOUNTS = {"accounts": [{"name": "accounts/mine"}], "nextPageToken": ""}
BASE = "/v1/accounts/mine"


@pytest.fixture
def fireworks(client: MakeClient, recorder: Recorder) -> Client:
    """Return a client whose key belongs to one account."""
    recorder.answer("GET /v1/accounts", ACCOUNTS)
    return client("fireworks", "/inference/v1")


def found(state: str, **fields: object) -> dict[str, object]:
    output = "accounts/mine/datasets/bij-1"
    return {"name": "accounts/mine/batchInferenceJobs/batch_1", "state": state, "outputDatasetId": output, **fields}


def our_id(recorder: Recorder) -> str:
    """Return the id of the job, as the create call of its dataset shows it."""
    return str(msgspec.json.decode(recorder.calls[1].body)["datasetId"])


async def test_a_dataset_is_created_uploaded_and_awaited(fireworks: Client, recorder: Recorder) -> None:
    recorder.answer(f"POST {BASE}/datasets", {"state": "UPLOADING"})
    with pytest.raises(UpstreamError):  # the recorder does not know the id
        await fireworks.batches.upload(fireworks.account, job(), rows([]))
    dataset = our_id(recorder)
    recorder.answer(f"POST {BASE}/datasets/{dataset}:upload", {"id": dataset})
    recorder.answer(f"GET {BASE}/datasets/{dataset}", {"state": "READY"})
    planned = [PlannedRow(row_id="r0", line=b'{"custom_id":"r0"}')]
    uploaded = await fireworks.batches.upload(fireworks.account, job(), rows(planned))

    assert uploaded == dataset
    assert re.fullmatch(r"[a-z0-9-]{1,63}", dataset)
    sent = msgspec.json.decode(recorder.calls[1].body)["dataset"]
    assert sent == {"userUploaded": {}, "exampleCount": "2"}
    assert b'name="file"; filename="' in recorder.calls[-2].body


async def test_a_dataset_of_an_interrupted_upload_is_replaced(fireworks: Client, recorder: Recorder) -> None:
    recorder.answer(f"POST {BASE}/datasets", {"code": 6, "message": "already exists"}, status=409)
    recorder.answer(f"POST {BASE}/datasets", {"state": "UPLOADING"})
    with pytest.raises(UpstreamError):
        await fireworks.batches.upload(fireworks.account, job(), rows([]))

    assert recorder.lines[2] == f"DELETE {BASE}/datasets/{our_id(recorder)}"


async def test_a_second_create_call_returns_the_job_of_the_first(fireworks: Client, recorder: Recorder) -> None:
    with pytest.raises(UpstreamError):
        await fireworks.batches.create(fireworks.account, job(), rows([]))
    line = recorder.calls[-1].line
    own = line.partition("batchInferenceJobId=")[2]
    recorder.answer(line, {"code": 6, "message": "already exists"}, status=409)
    recorder.answer(f"GET {BASE}/batchInferenceJobs/{own}", found("JOB_STATE_PENDING"))

    assert (await fireworks.batches.create(fireworks.account, job(), rows([]))).id == "batch_1"
    dataset = msgspec.json.decode(recorder.calls[-2].body)["inputDatasetId"]
    assert dataset == "accounts/mine/datasets/file-1"


@pytest.mark.parametrize(
    ("state", "outcome", "results"),
    [
        ("JOB_STATE_RE_QUEUEING", "running", ()),
        ("JOB_STATE_NEW_WORD", "running", ()),
        ("JOB_STATE_COMPLETED", "completed", ("bij-1",)),
        ("JOB_STATE_EXPIRED", "expired", ("bij-1",)),
        ("JOB_STATE_EARLY_STOPPED", "expired", ("bij-1",)),
        ("JOB_STATE_DELETING_CLEANING_UP", "canceled", ("bij-1",)),
        ("JOB_STATE_FAILED", "failed", ()),
    ],
)
async def test_an_output_dataset_is_read_unless_the_job_failed(
    fireworks: Client, recorder: Recorder, state: str, outcome: str, results: tuple[str, ...]
) -> None:
    status = {"code": "INVALID_ARGUMENT", "message": "invalid role bananas"}
    recorder.answer(f"GET {BASE}/batchInferenceJobs/batch_1", found(state, status=status))
    polled = await fireworks.batches.poll(fireworks.account, job())

    assert polled is not None
    assert (polled.outcome, polled.results) == (outcome, results)
    expected = [("INVALID_ARGUMENT", "invalid role bananas")] if outcome == "failed" else []
    assert [(fault.code, fault.message) for fault in polled.faults] == expected


async def test_signed_urls_get_no_key_and_rows_have_no_status(fireworks: Client, recorder: Recorder) -> None:
    signed = {"dataset/bij-1/BIJOutputSet.jsonl": f"{recorder.url}/good", "x/error-data": f"{recorder.url}/bad"}
    recorder.answer(f"GET {BASE}/batchInferenceJobs/batch_1", found("JOB_STATE_COMPLETED"))
    recorder.answer(f"GET {BASE}/datasets/bij-1:getDownloadEndpoint", {"filenameToSignedUrls": signed})
    recorder.answer("GET /good", b'{"custom_id":"r0","response":{"id":"c"}}\n')
    recorder.answer("GET /bad", b'{"custom_id":"r1","error":{"code":429,"message":"slow down"}}\nwhat?\n')
    results = await fireworks.results(job())

    shown = [(result.row_id, result.response.status) for result in results if result.response is not None]
    assert shown == [("r0", 200), ("r1", 429)]
    assert results[0].response is not None
    assert results[0].response.body == b'{"id":"c"}'
    assert not any(KEY in str(call.headers) for call in recorder.calls if call.line in {"GET /good", "GET /bad"})


async def test_a_job_that_has_ended_is_not_deleted_by_a_cancel(fireworks: Client, recorder: Recorder) -> None:
    recorder.answer(f"GET {BASE}/batchInferenceJobs/batch_1", found("JOB_STATE_COMPLETED"))
    await fireworks.batches.cancel(fireworks.account, job())

    assert not any(line.startswith("DELETE") for line in recorder.lines)


@pytest.mark.parametrize("names", [[], ["accounts/a", "accounts/b"]])
async def test_a_key_must_belong_to_one_account(client: MakeClient, recorder: Recorder, names: list[str]) -> None:
    recorder.answer("GET /v1/accounts", {"accounts": [{"name": name} for name in names]})
    fireworks = client("fireworks", "/inference/v1")

    with pytest.raises(UpstreamError, match="one account of Fireworks") as caught:
        await fireworks.batches.poll(fireworks.account, job())
    assert not caught.value.retry_safe


def test_a_row_leaves_the_model_to_its_job(fireworks: Client) -> None:
    planned = fireworks.batches.encode(fireworks.account, row(CHAT, kind="chat_completions"), "r0")

    assert msgspec.json.decode(planned.line)["body"].keys() == msgspec.json.decode(CHAT).keys() - {"model"}
