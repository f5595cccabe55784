"""Refusals that can never succeed are told from those that pass, and requested waits are read from the body."""

from __future__ import annotations

from typing import Any

import pytest

from batchgate.providers.responses.provider_errors import upstream_error
from tests.unit.providers.calls import Json, response


def _openai(message: str = "no", **fields: Any) -> Json:
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None} | fields}


ANTHROPIC_REFUSAL = (
    "This request would exceed your organization's rate limit of 30,000 input tokens per minute (org: x, model: m). "
    "Please reduce the prompt length or the maximum tokens requested, or try again later."
)
TPM = "for gpt-4o in organization org-x on tokens per min (TPM)"


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        ("Request too large for m: limit 10000 tokens a minute, requested 12000; input or output must be reduced.", {}),
        (
            f"Request too large {TPM}: Limit 30000, Requested 52000. The input or output tokens must be reduced.",
            {"type": "tokens", "code": "rate_limit_exceeded"},
        ),
        (f"Rate limit reached {TPM}: Limit 30000, Used 0, Requested 52000. Please try again in 44s.", {}),
        (f"Rate limit reached {TPM}: Limit: 30,000 / min. Requested: 52,000.", {}),
        (
            "This request would exceed your organization's rate limit of 30,000 tokens per minute (requested 52,000).",
            {},
        ),
        ("Your request of 52k tokens exceeds the limit of 30k tokens per minute", {}),
        ("52000 tokens requested, the limit is 30000", {}),
        ("The prompt is too long for the limit of this tier", {}),
        ("no", {"code": "request_too_large"}),
    ],
)
@pytest.mark.parametrize("asked", [None, "true"])
def test_a_429_that_the_same_request_would_get_each_time_is_not_retried(
    message: str, fields: dict[str, str], asked: str | None
) -> None:
    headers = {} if asked is None else {"x_should_retry": asked}
    error = upstream_error(response(_openai(message, **fields), status=429, retry_after="5", **headers))
    assert (error.kind, error.retry_safe, error.status, error.message) == ("request_too_large", False, 429, message)


@pytest.mark.parametrize(
    "message",
    [
        f"Rate limit reached {TPM}: Limit 10000, Used 9000, Requested 2000. Please try again in 6s.",
        f"Rate limit reached {TPM}: Limit 10000, Used 0, Requested 10000. Please try again in 6s.",
        "Rate limit reached for m on requests per min (RPM): Limit 3, Used 3, Requested 1. Please try again in 20s.",
        ANTHROPIC_REFUSAL,
        "Too many concurrent requests: limit 2, requested 3",
        "Too many requests: the request rate must be reduced.",
        "Concurrency must be reduced",
        "Your request is too large for what is left of the quota; try again in 20s",
        "You requested 120 requests per minute, the limit is 100",
        "Too many tokens, please wait before trying again.",
        "Quota exceeded for metric: generate_content_free_tier_input_token_count, limit: 250000, model: gemini-2.5-pro",
        "Limit 30000 reached, requested later",
        "no",
    ],
)
def test_a_429_that_passes_is_retried(message: str) -> None:
    error = upstream_error(response(_openai(message, code="rate_limit_exceeded"), status=429))
    assert (error.kind, error.retry_safe) == ("rate_limit_error", True)


def test_words_about_size_do_not_change_other_errors() -> None:
    error = upstream_error(response(_openai("prompt is too long: limit 10, requested 20"), status=400))
    assert (error.kind, error.retry_safe) == ("invalid_request_error", False)


RETRY_INFO = "type.googleapis.com/google.rpc.RetryInfo"


@pytest.mark.parametrize(
    ("body", "headers", "seconds"),
    [
        ({"error": {"code": 429, "details": [{"@type": RETRY_INFO, "retryDelay": "17s"}]}}, {}, 17.0),
        (
            [{"error": {"code": 429, "details": [{}, {"@type": RETRY_INFO, "retryDelay": "45.837906927s"}]}}],
            {},
            45.837906927,
        ),
        ({"error": {"details": [{"retryDelay": {"seconds": 17, "nanos": 500_000_000}}]}}, {}, 17.5),
        (_openai("Please retry in 9s.", details=[{"@type": RETRY_INFO, "retryDelay": "17s"}]), {}, 17.0),
        (_openai(details=[{"@type": RETRY_INFO, "retryDelay": "17s"}]), {"retry_after": "5"}, 5.0),
        (_openai(metadata={"retry_after_seconds": 12}), {}, 12.0),
        (_openai(retry_after_ms=1500), {}, 1.5),
        ({"message": "m", "retry_after": 0.25}, {}, 0.25),
        ({"detail": "Request was throttled. Your rate limit resets in ~30s."}, {}, 30.0),
        (_openai("Rate limit reached. Please try again in 1m30.5s. Visit x"), {}, 90.5),
        (_openai("Please try again in 350ms."), {}, 0.35),
        (_openai("Please retry after 2 seconds."), {}, 2.0),
        (_openai("Please retry after 86400 seconds."), {}, 3600.0),
        (_openai("Try again in 1 hour and 5 minutes"), {}, 3600.0),
        (_openai("Try again in 5 minutes"), {}, 300.0),
        (_openai("try again later"), {}, None),
        (_openai(retry_after=-1, retry_after_ms=True), {}, None),
        (_openai(retry_after=10**400, details=["x", {"retryDelay": "soon"}], metadata=3), {}, None),
        (_openai(), {"x_amz_retry_after": "1500"}, 1.5),
    ],
)
def test_the_wait_is_read_from_the_body_too(body: object, headers: dict[str, str], seconds: float | None) -> None:
    found = upstream_error(response(body, status=429, **headers)).retry_after
    assert found is None if seconds is None else found == pytest.approx(seconds)
