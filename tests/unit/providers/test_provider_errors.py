"""Errors of providers are put in one class each, and say if and when a retry makes sense.

Statuses, headers and bodies: facts/batch-apis.md 1.7 and 4.4, and the servers named beside a row.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgate.engine.model.errors import UpstreamError
from batchgate.engine.model.provider_call import UpstreamResponse
from batchgate.providers.handlers.openai import OpenAIHandler
from batchgate.providers.registry.known_servers import OPENAI
from batchgate.providers.responses.key_redaction import KeyRedactingHandler
from batchgate.providers.responses.provider_errors import MAX_MESSAGE_LENGTH, upstream_error
from batchgate.providers.responses.retry_waits import MAX_RETRY_AFTER
from tests.unit.providers.calls import Json, account, response, row


def _openai(message: str = "no", **fields: Any) -> Json:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None} | fields}


def _anthropic(kind: str, message: str = "no", **fields: Any) -> Json:
    return {
        "type": "error",
        "error": {"type": kind, "message": message, "details": None} | fields,
        "request_id": "req_1",
    }


@pytest.mark.parametrize(
    ("status", "kind", "retry_safe"),
    [
        (400, "invalid_request_error", False),
        (401, "authentication_error", False),
        (402, "billing_error", False),
        (403, "permission_error", False),
        (404, "not_found_error", False),
        (405, "invalid_request_error", False),
        (408, "timeout_error", True),
        (409, "conflict_error", True),
        (413, "request_too_large", False),
        (420, "rate_limit_error", True),
        (421, "invalid_request_error", True),
        (423, "conflict_error", True),
        (424, "invalid_request_error", True),
        (449, "conflict_error", True),
        (460, "timeout_error", True),
        (499, "timeout_error", True),
        (501, "invalid_request_error", False),
        (505, "invalid_request_error", False),
        (422, "invalid_request_error", False),
        (425, "conflict_error", True),
        (429, "rate_limit_error", True),
        (500, "api_error", True),
        (502, "api_error", True),
        (503, "overloaded_error", True),
        (504, "timeout_error", True),
        (524, "timeout_error", True),
        (529, "overloaded_error", True),
        (202, "api_error", False),
        (302, "api_error", False),
    ],
)
def test_the_status_gives_the_class_and_if_a_retry_is_safe(status: int, kind: str, *, retry_safe: bool) -> None:
    error = upstream_error(response(_openai("why"), status=status))
    assert (error.kind, error.retry_safe, error.status, error.message) == (kind, retry_safe, status, "why")


@pytest.mark.parametrize(
    ("status", "body", "kind", "retry_safe"),
    [
        (429, _openai(type="insufficient_quota", code="insufficient_quota"), "billing_error", False),
        (
            429,
            _anthropic("rate_limit_error", details={"error_code": "enforced_spend_limit_reached"}),
            "billing_error",
            False,
        ),
        (403, _anthropic("billing_error"), "billing_error", False),
        (500, _anthropic("overloaded_error"), "overloaded_error", True),
        (400, _anthropic("rate_limit_error"), "rate_limit_error", True),
        (401, _openai(code="invalid_api_key"), "authentication_error", False),
        (400, _openai(type="ThrottlingException"), "rate_limit_error", True),
        (400, _openai(code="429"), "rate_limit_error", True),
        (403, _openai(code="rateLimitExceeded"), "rate_limit_error", True),
        (500, _openai(code=429), "rate_limit_error", True),
        (502, _openai(code="overloaded"), "overloaded_error", True),
        (400, _openai(code="context_length_exceeded"), "invalid_request_error", False),
        (400, _openai(code=500), "invalid_request_error", False),
        (413, _openai(type="tokens", code="rate_limit_exceeded"), "request_too_large", False),
    ],
)
def test_a_telling_type_or_code_counts_more_than_the_status(
    status: int, body: Json, kind: str, *, retry_safe: bool
) -> None:
    error = upstream_error(response(body, status=status))
    assert (error.kind, error.retry_safe) == (kind, retry_safe)


@pytest.mark.parametrize(("asked", "retry_safe"), [("true", True), ("false", False)])
@pytest.mark.parametrize("status", [400, 429, 500])
def test_the_provider_may_decide_about_the_retry_itself(status: int, asked: str, *, retry_safe: bool) -> None:
    assert upstream_error(response(_openai(), status=status, x_should_retry=asked)).retry_safe is retry_safe


NOW = 1_445_412_400.0  # 2015-10-21 07:26:40


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry_after": "30"}, 30.0),
        ({"retry_after": "0.5"}, 0.5),
        ({"retry_after": "0"}, 0.0),
        ({"retry_after_ms": "1500", "retry_after": "30"}, 1.5),
        ({"retry_after_ms": "soon", "retry_after": "30"}, 30.0),
        ({"retry_after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 80.0),
        ({"retry_after": "Wed, 21 Oct 2015 07:20:00 GMT"}, 0.0),
        ({"retry_after": "86400"}, 3600.0),
        ({"retry_after": "1e9"}, 3600.0),
        ({"retry_after_ms": "1e12"}, 3600.0),
        ({"retry_after": "Thu, 22 Oct 2015 07:28:00 GMT"}, 3600.0),
        ({"retry_after": "1445412460"}, 60.0),
        ({"retry_after": "1445412460000"}, 60.0),
        ({"retry_after": "1m30s"}, 90.0),
        ({"retry_after": "30 seconds"}, 30.0),
        ({"retry_after": "1 minute 30 sec"}, 90.0),
        ({"retry_after": "PT1M30S"}, 90.0),
        ({"retry_after": "2hrs"}, 3600.0),
        ({"retry_after": "5 moments"}, None),
        ({"retry_after": "tomorrow"}, None),
        ({"retry_after": "-5"}, None),
        ({"retry_after": "nan"}, None),
        ({"retry_after": "inf"}, None),
    ],
)
def test_the_wait_that_the_provider_asks_for_is_read(headers: dict[str, str], seconds: float | None) -> None:
    assert upstream_error(response(_openai(), status=429, **headers), now=lambda: NOW).retry_after == seconds


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (_openai("Unknown model."), "Unknown model."),
        (_anthropic("invalid_request_error", "max_tokens: Field required"), "max_tokens: Field required"),
        # Sent by Cloudflare for Anthropic, without the outer type.
        (
            {"error": {"type": "request_too_large", "message": "Request exceeds the maximum size"}},
            "Request exceeds the maximum size",
        ),
        # vLLM before 0.10.
        ({"object": "error", "message": "too long", "type": "BadRequestError", "param": None, "code": 400}, "too long"),
        # Ollama's own API.
        ({"error": "model 'x' not found"}, "model 'x' not found"),
        # FastAPI, and Mistral with it.
        ({"detail": "Not Found"}, "Not Found"),
        ({"object": "error", "message": {"detail": [{"loc": ["body"]}]}}, '{"detail":[{"loc":["body"]}]}'),
        # problem+json; Replicate has the detail, others only the title.
        ({"type": "about:blank", "title": "Payment required", "status": 402}, "Payment required"),
        # Cloudflare Workers AI.
        ({"success": False, "errors": [{"code": 7009, "message": "no such model"}]}, "no such model"),
        # AWS.
        ({"Message": "The security token is invalid"}, "The security token is invalid"),
        # Gemini.
        ([{"error": {"code": 400, "message": "bad", "status": "INVALID_ARGUMENT"}}], "bad"),
        (
            b"<html>\n <body>Bad   Gateway</body></html>",
            "The provider returned 400: <html> <body>Bad Gateway</body></html>",
        ),
        (b"", "The provider returned 400: an empty body"),
        (b"\xff\xfe", "The provider returned 400: \ufffd\ufffd"),
        (b"null", "The provider returned 400: null"),
        (b"[]", "The provider returned 400: []"),
        ({}, "The provider returned 400: {}"),
        ({"error": {}}, 'The provider returned 400: {"error":{}}'),
    ],
)
def test_the_message_is_found_in_every_envelope(body: object, message: str) -> None:
    assert upstream_error(response(body, status=400)).message == message


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (
            {"raw": '{"error":{"message":"max_tokens must be at most 4096"}}', "provider_name": "Xyz"},
            "Provider returned error (Xyz): max_tokens must be at most 4096",
        ),
        ({"raw": " upstream is full ", "provider_name": "Xyz"}, "Provider returned error (Xyz): upstream is full"),
        ({"raw": {"error": {"message": "too long"}}}, "Provider returned error: too long"),
        ({"raw": '{"message":"too long"}'}, "Provider returned error: too long"),
        ({"raw": '{"error":"no such model"}'}, "Provider returned error: no such model"),
        ({"raw": '[{"error":{"code":400,"message":"bad"}}]'}, "Provider returned error: bad"),
        ({"raw": '"a text"'}, "Provider returned error: a text"),
        ({"raw": '{"reason":1}'}, 'Provider returned error: {"reason":1}'),
        ({"raw": {"reason": 1}}, 'Provider returned error: {"reason":1}'),
        ({"raw": "Provider returned error"}, "Provider returned error"),
        ({"raw": "", "provider_name": ""}, "Provider returned error"),
        ({"raw": None, "provider_name": "Xyz"}, "Provider returned error (Xyz)"),
        ({"raw": "key sk-abcdef123456 is bad"}, "Provider returned error: key [key] is bad"),
        ({"raw": 4, "provider_name": 5}, "Provider returned error: 4"),
        ("no object", "Provider returned error"),
        (None, "Provider returned error"),
    ],
)
def test_the_error_of_the_provider_behind_a_router_is_appended_to_the_message(metadata: object, message: str) -> None:
    body = {"error": {"message": "Provider returned error", "code": 400, "metadata": metadata}}
    assert upstream_error(response(body, status=400)).message == message


def test_a_long_error_of_the_provider_behind_a_router_is_shortened_after_its_name() -> None:
    body = _openai("Provider returned error", metadata={"raw": "x" * 9_999, "provider_name": "Xyz"})
    message = upstream_error(response(body, status=400)).message
    assert len(message) == MAX_MESSAGE_LENGTH
    assert message.startswith("Provider returned error (Xyz): xxx")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            _openai(type="invalid_request_error", param="messages[0].content", code="context_length_exceeded"),
            ("invalid_request_error", "messages[0].content", "context_length_exceeded"),
        ),
        (_anthropic("overloaded_error"), ("overloaded_error", None, None)),
        # vLLM before 0.10 and since.
        ({"object": "error", "message": "m", "type": "BadRequestError", "code": 400}, ("BadRequestError", None, 400)),
        (_openai(type="BadRequestError", code=400), ("BadRequestError", None, 400)),
        (_openai(type=1, param=["a"], code=True), (None, None, None)),
        (_openai(code=10**30), ("invalid_request_error", None, None)),
        ({"error": "model 'x' not found"}, (None, None, None)),
        (b"<html>", (None, None, None)),
        (_openai(type="sk-abcdef123456", code="Bearer abc.def"), ("[key]", None, "[key]")),
    ],
)
def test_the_words_beside_the_message_are_kept_as_they_are(
    body: object, said: tuple[str | None, str | None, str | int | None]
) -> None:
    error = upstream_error(response(body, status=400))
    assert (error.provider_type, error.provider_param, error.provider_code) == said


def test_long_words_beside_the_message_are_cut() -> None:
    error = upstream_error(response(_openai(type="t" * 999, param="p" * 999, code="c" * 999), status=400))
    for word in (error.provider_type, error.provider_param, error.provider_code):
        assert isinstance(word, str)
        assert len(word) == 200


def test_the_accounts_own_key_stands_in_none_of_the_words() -> None:
    handler = KeyRedactingHandler(OpenAIHandler(OPENAI))
    handler.encode(account(api_key="an-odd-key-of-1-server"), row())
    words = _openai("m an-odd-key-of-1-server", **dict.fromkeys(("type", "param", "code"), "an-odd-key-of-1-server"))
    with pytest.raises(UpstreamError) as caught:
        handler.decode(row(), response(words, status=400))
    error = caught.value
    assert (error.message, error.provider_type, error.provider_param, error.provider_code) == (
        "m [key]",
        *["[key]"] * 3,
    )


def test_a_redirection_shows_where_it_points() -> None:
    error = upstream_error(response(b"", status=308, location="https://up.example/v2"))
    assert error.message == "The provider returned 308: it redirects to https://up.example/v2; check base_url"


@pytest.mark.parametrize(
    "key",
    [
        "sk-proj-abcdef123456",
        "sk-abc***********wxyz",
        "sk-ant-api03-AAAA_bbbb-cccc",
        "bg-0Tq_Yx3dR-aB7kLmN9pVwZ2sEfGhJ4cU5iO6rQ8tS1y",
        "gsk_abcdefgh1234",
        "Bearer abc.def",
    ],
)
def test_a_key_in_the_message_is_taken_out(key: str) -> None:
    error = upstream_error(response(_openai(f"Incorrect API key provided: {key} at OpenAI."), status=401))
    assert error.message == "Incorrect API key provided: [key] at OpenAI."


def test_a_long_message_is_cut() -> None:
    message = upstream_error(response(_openai("x" * 10_000), status=400)).message
    assert len(message) == MAX_MESSAGE_LENGTH
    assert message.endswith("…")


@pytest.mark.parametrize(
    ("headers", "request_id"),
    [({"request_id": "req_h"}, "req_h"), ({"x_request_id": "req_x"}, "req_x"), ({}, "req_1")],
)
def test_the_providers_request_id_is_kept(headers: dict[str, str], request_id: str) -> None:
    assert upstream_error(response(_anthropic("api_error"), status=500, **headers)).request_id == request_id


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "message", "type", "code", "detail", "details", "error_code", "metadata", "raw"]),
            inner,
        )
    ),
    max_leaves=8,
)


@given(body=st.binary(max_size=300) | JSON, status=st.integers(100, 599), wait=st.text(max_size=20))
def test_no_response_can_break_the_reader(body: object, status: int, wait: str) -> None:
    sent = response(body)
    headers = {"retry-after": wait, "retry-after-ms": wait}
    error = upstream_error(UpstreamResponse(status=status, headers=headers, body=sent.body))
    assert error.message
    assert len(error.message) <= MAX_MESSAGE_LENGTH + 100
    assert error.retry_after is None or 0 <= error.retry_after <= MAX_RETRY_AFTER
