"""Errors that a provider sends with status 200 have the status and the class that their type and code state."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgate.engine.model.decoding_errors import DECODING_ERRORS
from batchgate.engine.model.errors import NoUpstreamAnswer, UpstreamError
from batchgate.providers.responses.embedded_errors import embedded_status
from batchgate.providers.responses.provider_errors import unexpected_body_error
from tests.unit.providers.calls import Json, response


class _Answer(msgspec.Struct):
    choices: list[str]


def embedded_error(body: object) -> UpstreamError:
    """Return the error for a response with status 200 that is not an answer."""
    answer = response(body)
    with pytest.raises(DECODING_ERRORS) as caught:
        msgspec.json.decode(answer.body, type=_Answer)
    problem = caught.value
    assert isinstance(problem, DECODING_ERRORS)
    return unexpected_body_error(answer, "chat_completions", problem)


@pytest.mark.parametrize(
    ("error", "status", "kind", "retry_safe"),
    [
        ({"type": "invalid_request_error", "message": "bad field"}, 400, "invalid_request_error", False),
        ({"code": "context_length_exceeded"}, 400, "invalid_request_error", False),
        ({"type": "invalid_request_error", "code": None}, 400, "invalid_request_error", False),
        ({"type": "invalid_request_error", "code": "invalid_api_key"}, 401, "authentication_error", False),
        ({"type": "invalid_request_error", "code": "model_not_found"}, 404, "not_found_error", False),
        ({"type": "invalid_request_error", "code": 503}, 503, "overloaded_error", True),
        ({"type": "BadRequestError", "code": "400"}, 400, "invalid_request_error", False),
        ({"type": "BadRequestError"}, 400, "invalid_request_error", False),
        ({"type": "tokens", "code": "rate_limit_exceeded"}, 429, "rate_limit_error", True),
        ({"type": "insufficient_quota", "code": "insufficient_quota"}, 429, "billing_error", False),
        ({"type": "overloaded_error"}, 529, "overloaded_error", True),
        ({"type": "timeout_error"}, 504, "timeout_error", True),
        ({"status": "INVALID_ARGUMENT", "message": "bad"}, 400, "invalid_request_error", False),
        ({"status": "RESOURCE_EXHAUSTED", "code": 429}, 429, "rate_limit_error", True),
        ({"status": 413}, 413, "request_too_large", False),
        ({"code": 429.0}, 429, "rate_limit_error", True),
        ({"code": 200, "type": "not_found_error"}, 404, "not_found_error", False),
        ({"code": True}, 500, "api_error", True),
        ({"code": "9" * 5000}, 500, "api_error", True),
        ({"type": "server_error", "code": "strange"}, 500, "api_error", True),
        ({}, 500, "api_error", True),
    ],
)
@pytest.mark.parametrize("envelope", ["error", "error beside empty choices", "list"])
def test_the_status_and_class_come_from_code_and_type(
    envelope: str, error: Json, status: int, kind: str, *, retry_safe: bool
) -> None:
    bodies = {
        "error": {"type": "error", "error": error},
        "error beside empty choices": {"choices": None, "error": error},
        "list": [{"error": error}],
    }
    found = embedded_error(bodies[envelope])
    assert (found.status, found.kind, found.retry_safe) == (status, kind, retry_safe)


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"object": "error", "message": "too long", "code": 400}, 400, "invalid_request_error"),
        ({"object": "error", "message": "too long", "code": "400"}, 400, "invalid_request_error"),
        ({"object": "error", "message": "too long", "type": "NotFoundError", "code": None}, 404, "not_found_error"),
        ({"object": "error", "message": "too long", "code": 40303}, 404, "not_found_error"),
        ({"object": "error", "message": "too long", "code": 40305}, 400, "invalid_request_error"),
        ({"object": "error", "message": "too long", "code": 42901}, 429, "rate_limit_error"),
        ({"object": "error", "message": "too long", "code": 50002}, 500, "api_error"),
        ({"type": "error", "message": "too long", "code": 422}, 422, "invalid_request_error"),
        ({"error": "too long"}, 500, "api_error"),
        ({"error": [{"message": "too long", "code": 400}]}, 400, "invalid_request_error"),
        ({"errors": [{"message": "too long", "code": 400}]}, 400, "invalid_request_error"),
        ({"error": {"error": {"message": "too long", "type": "BadRequestError"}}}, 400, "invalid_request_error"),
        ({"error": True, "message": "too long", "code": 400}, 400, "invalid_request_error"),
        ({"code": 429, "msg": "too long", "success": False}, 429, "rate_limit_error"),
        ({"statusCode": 429, "message": "too long"}, 429, "rate_limit_error"),
        ({"code": "InvalidParameter", "message": "too long", "request_id": "r"}, 400, "invalid_request_error"),
        ({"title": "too long", "status": 400, "errors": {"n": ["too large"]}}, 400, "invalid_request_error"),
        ({"type": "about:blank", "title": "Bad", "status": 422, "detail": "too long"}, 422, "invalid_request_error"),
    ],
)
def test_an_error_without_an_envelope_is_read(body: Json, status: int, kind: str) -> None:
    error = embedded_error(body)
    assert (error.status, error.kind, error.message) == (status, kind, "too long")


@pytest.mark.parametrize(
    "body",
    [
        {"error": None},
        {"error": " "},
        {"object": "list", "code": 4},
        {"object": "error"},
        {"code": 200, "message": "ok"},
        {},
        [],
        b"<html>",
    ],
)
def test_a_body_without_an_error_object_is_no_answer_at_all(body: object) -> None:
    error = embedded_error(body)
    assert isinstance(error, NoUpstreamAnswer)
    assert (error.status, error.retry_safe) == (200, True)


@given(
    st.dictionaries(
        st.sampled_from(["code", "type", "status", "object"]),
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    )
)
def test_every_error_object_has_an_error_status(error: Json) -> None:
    status = embedded_status(msgspec.json.encode({"error": error}))
    assert status is not None
    assert 400 <= status <= 599
