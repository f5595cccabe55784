"""What is special about xAI's batches (native-lanes 2.11)."""

from __future__ import annotations

import msgspec
import pytest

from batchgate.engine.model.native_job import PlannedRow
from batchgate.providers.simulator.batches.openai_uploads import MAX_EXPIRY
from tests.unit.providers.batches.conftest import MakeClient
from tests.unit.providers.batches.recorder import Recorder, job, rows

BATCH = {"batch_id": "batch_1", "name": "tok_1", "create_time": "2026-08-28", "cancel_time": None}
RESULTS = "GET /v1/batches/batch_1/results?limit=100"


def counts(requests: int, pending: int = 0, success: int = 0, cancelled: int = 0) -> dict[str, object]:
    numbers = {"requests": requests, "pending": pending, "success": success, "error": 0, "cancelled": cancelled}
    return {"state": {f"num_{name}": number for name, number in numbers.items()}}


@pytest.mark.parametrize(
    ("fields", "outcome", "awaits"),
    [
        (counts(0), "running", False),
        (counts(5, pending=3, success=2), "running", False),
        (counts(5, success=5), "completed", False),
        (counts(0) | {"cancel_time": "2026-08-28"}, "canceled", False),
        (counts(5, pending=5) | {"cancel_time": "2026-08-28"}, "running", False),
        (counts(5, cancelled=5) | {"cancel_time": "2026-08-28"}, "canceled", True),
        (counts(5, success=5) | {"cancel_time": "2026-08-28"}, "canceled", False),
        (counts(5, success=2, cancelled=3), "expired", True),
        (counts(0) | {"cancel_by_xai_message": "line 2: invalid JSON", "cancel_time": "x"}, "failed", False),
    ],
)
async def test_the_state_follows_from_the_counters(
    client: MakeClient, recorder: Recorder, fields: dict[str, object], outcome: str, *, awaits: bool
) -> None:
    recorder.answer("GET /v1/batches/batch_1", BATCH | fields)
    xai = client("xai")
    polled = await xai.batches.poll(xai.account, job())

    assert polled is not None
    assert (polled.outcome, polled.awaits_results, polled.results) == (outcome, awaits, ("batch_1",))


async def test_an_input_file_expires(client: MakeClient, recorder: Recorder) -> None:
    recorder.answer("POST /v1/files", {"id": "file_1"})
    xai = client("xai")
    await xai.batches.upload(xai.account, job(), rows([PlannedRow(row_id="r0", line=b"{}")]))

    form = recorder.calls[0].body
    assert b'name="expires_after"\r\n\r\n1209600\r\n' in form
    assert form.index(b"expires_after") < form.index(b'name="file"'), "the field must be before the file"
    assert MAX_EXPIRY > 1_209_600


async def test_pages_of_results_are_read_to_the_end(client: MakeClient, recorder: Recorder) -> None:
    answer = {"response": {"chat_get_completion": {"id": "c"}}}
    page = [{"batch_request_id": "r0", "batch_result": answer}]
    recorder.answer("GET /v1/batches/batch_1", BATCH | counts(3, success=1))
    recorder.answer(RESULTS, {"results": page, "pagination_token": "t+1"})
    errors = ["Batch cancelled", "max_tokens must be positive", {"code": 404, "message": "no such model"}]
    failed = [{"batch_request_id": f"r{n}", "batch_result": {"error": error}} for n, error in enumerate(errors, 1)]
    recorder.answer(f"{RESULTS}&pagination_token=t%2B1", {"results": failed, "pagination_token": ""})
    results = await client("xai").results(job())

    assert [result.row_id for result in results] == ["r0", "r1", "r2", "r3"]
    assert [result.unfinished for result in results] == [None, "canceled", None, None]
    responses = [result.response for result in results if result.response is not None]
    assert [response.status for response in responses] == [200, 500, 404]
    assert msgspec.json.decode(responses[1].body) == {"error": {"message": "max_tokens must be positive"}}
