"""Answers of every kind become the right errors."""

from typing import Any

import httpx2
import pytest

from batchgate_client.models import BatchProgress
from batchgate_streams import UnusableAnswer
from batchgate_streams.calls import as_model, refused, results_call

UNIFIED = {
    "is_bifrost_error": False,
    "status_code": 400,
    "error": {"type": "invalid_request_error", "message": "provider: unknown", "param": "provider", "code": "x"},
    "extra_fields": {},
}


def answer(status: int, **content: Any) -> httpx2.Response:
    return httpx2.Response(status, request=httpx2.Request("GET", "http://gateway.test/"), **content)


def test_a_refusal_has_all_that_the_gateway_says() -> None:
    error = refused(answer(400, json=UNIFIED, headers={"request-id": "req_1", "retry-after": "3"}))
    assert str(error) == "HTTP 400: provider: unknown (request id req_1)"
    found = error.refusal
    assert (error.status, found.type, found.code, found.param) == (400, "invalid_request_error", "x", "provider")
    assert (found.request_id, found.retry_after) == ("req_1", 3)


@pytest.mark.parametrize(
    "body", [b"<html>Bad gateway</html>", b"[]", b'{"error": "no"}', b'{"error": {}}', b"\xff", b""]
)
def test_a_refusal_of_somebody_else_is_shown_as_one(body: bytes) -> None:
    error = refused(answer(502, content=body, headers={"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}))
    assert str(error).startswith("HTTP 502: not an answer of Batchgate: ")
    assert (error.refusal.type, error.refusal.retry_after) == (None, None)


@pytest.mark.parametrize("body", [b"hello", b"[]", b"{}", b'{"id": "b", "status": "asleep"}', b"null"])
def test_an_answer_of_another_shape_is_unusable(body: bytes) -> None:
    with pytest.raises(UnusableAnswer, match="not a Batchgate of this version"):
        as_model(answer(200, content=body), BatchProgress.from_dict)


def test_results_need_a_provider_unless_they_are_partial_or_merged() -> None:
    with pytest.raises(ValueError, match="provider: required"):
        results_call("batch_1", provider=None, partial=False, merged=False)
    assert results_call("batch_1", provider="groq", partial=False, merged=False)["url"] == "/v1/batches/batch_1/results"
    assert results_call("batch_1", provider=None, partial=True, merged=False)["url"] == "/api/batches/batch_1/results"
    merged = results_call("batch_1", provider=None, partial=False, merged=True)
    assert (merged["url"], merged["params"]) == ("/api/batches/batch_1/results", {"merged": True})
