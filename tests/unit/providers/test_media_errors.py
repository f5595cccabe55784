"""What the errors of Replicate, ElevenLabs and Runway mean: a wait, a fault of the account, or of the request."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from batchgate.engine.model.errors import ErrorKind, UpstreamError
from batchgate.engine.model.provider_call import RequestRow, UpstreamResponse
from batchgate.providers.handlers.elevenlabs import ElevenLabsHandler
from batchgate.providers.handlers.replicate import ReplicateHandler, ReplicateTasks
from batchgate.providers.handlers.runway import RunwayHandler, RunwayTasks

ROW = RequestRow(custom_id="a", params=b"{}", model="m", headers={}, kind="runway", url="/v1/text_to_video")


def response(status: int, body: Any) -> UpstreamResponse:
    return UpstreamResponse(status=status, headers={}, body=msgspec.json.encode(body))


def error_of(handler: ElevenLabsHandler | ReplicateHandler | RunwayHandler, status: int, body: Any) -> UpstreamError:
    with pytest.raises(UpstreamError) as refused:
        handler.decode(ROW, response(status, body))
    return refused.value


@pytest.mark.parametrize(
    ("status", "code", "kind", "retried"),
    [
        (429, "too_many_concurrent_requests", "rate_limit_error", True),
        (429, "system_busy", "rate_limit_error", True),
        (425, "too_early", "conflict_error", True),
        (401, "invalid_api_key", "authentication_error", False),
        (401, "quota_exceeded", "billing_error", False),
        (404, "voice_not_found", "not_found_error", False),
    ],
)
def test_elevenlabs_says_with_a_word_what_a_status_means(
    status: int, code: str, kind: ErrorKind, *, retried: bool
) -> None:
    error = error_of(ElevenLabsHandler(), status, {"detail": {"status": code, "message": "the reason"}})
    assert (error.kind, error.retry_safe, error.message) == (kind, retried, "the reason")


def test_the_fields_that_elevenlabs_refuses_are_named() -> None:
    detail = [{"loc": ["body", "text"], "msg": "Field required", "type": "missing"}]
    assert "Field required" in error_of(ElevenLabsHandler(), 422, {"detail": detail}).message


def test_audio_that_is_missing_cannot_be_used() -> None:
    assert not error_of(ElevenLabsHandler(), 200, {"no": "audio"}).retry_safe


def test_replicate_says_in_its_text_how_long_to_wait() -> None:
    text = "Request was throttled. Your rate limit resets in ~30s."
    error = error_of(ReplicateHandler(), 429, {"detail": text, "status": 429})
    assert (error.kind, error.retry_after, error.retry_safe) == ("rate_limit_error", 30.0, True)


def test_replicate_without_credit_pauses_the_account() -> None:
    problem = {"title": "Insufficient credit", "detail": "You have insufficient credit.", "status": 402}
    assert error_of(ReplicateHandler(), 402, problem).kind == "billing_error"


def test_the_fields_that_runway_refuses_are_named() -> None:
    body = {"error": "Validation of body failed", "issues": [{"path": ["ratio"], "message": "Invalid option"}]}
    error = error_of(RunwayHandler(), 400, body)
    assert error.kind == "invalid_request_error"
    assert "Invalid option" in error.message


@pytest.mark.parametrize("status", ["failed", "canceled", "aborted", "something new"])
def test_a_prediction_that_did_not_succeed_is_an_error_that_is_not_repeated(status: str) -> None:
    error = error_of(ReplicateHandler(), 200, {"id": "p", "status": status, "error": "CUDA out of memory"})
    assert error.message == f"the task p ended as {status}: CUDA out of memory"
    assert not error.retry_safe
    state = ReplicateTasks().read(response(200, {"id": "p", "status": status}))
    assert state is not None
    assert not state.is_running


def test_a_task_that_runway_failed_has_its_code_and_reason() -> None:
    body = {"id": "t", "status": "FAILED", "failure": "No faces", "failureCode": "INPUT_PREPROCESSING.INTERNAL"}
    error = error_of(RunwayHandler(), 200, body)
    assert error.message == "the task t ended as FAILED (INPUT_PREPROCESSING.INTERNAL): No faces"
    assert error.provider_code == "INPUT_PREPROCESSING.INTERNAL"


@pytest.mark.parametrize("status", [None, "PENDING", "THROTTLED", "RUNNING"])
def test_a_task_that_waits_at_runway_is_running(status: str | None) -> None:
    state = RunwayTasks().read(response(200, {"id": "t", "status": status}))
    assert state is not None
    assert state.is_running


@pytest.mark.parametrize("body", [{"id": "../tasks"}, {"id": ""}, {"status": "PENDING"}, [], {"id": "a b"}])
def test_an_answer_without_a_plain_id_is_no_task(body: Any) -> None:
    assert RunwayTasks().read(response(200, body)) is None
    assert not error_of(RunwayHandler(), 200, body).retry_safe


def test_an_error_is_no_task() -> None:
    assert RunwayTasks().read(response(500, {"id": "t", "status": "PENDING"})) is None
