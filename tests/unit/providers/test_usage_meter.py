"""Token usage and remaining rate limits are read from the responses of every provider."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgate.engine.model.provider_call import RemainingLimit, UpstreamRequest, UpstreamResponse
from batchgate.providers.responses.usage_meter import UsageMeter
from tests.unit.providers.calls import response

NOW = 1_445_412_400.0  # 2015-10-21 07:26:40
METER = UsageMeter(now=lambda: NOW)


def call(**fields: Any) -> UpstreamRequest:
    return UpstreamRequest(url="https://up.example", headers={}, body=msgspec.json.encode(fields), timeout=1)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, []),
        (
            {"x-ratelimit-remaining-requests": "59", "x-ratelimit-reset-requests": "6m0s"},
            [RemainingLimit(unit="requests", remaining=59, reset=360)],
        ),
        (
            {"x-ratelimit-remaining-tokens": "149984", "x-ratelimit-reset-tokens": "1h2m3.5s"},
            [RemainingLimit(unit="tokens", remaining=149984, reset=3723.5)],
        ),
        (
            {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "120ms"},
            [RemainingLimit(unit="requests", remaining=0, reset=0.12)],
        ),
        (
            {"x-ratelimit-remaining-tokens-minute": "7", "x-ratelimit-reset-tokens-minute": "33.1"},
            [RemainingLimit(unit="tokens", remaining=7, reset=33.1)],
        ),
        (
            {
                "anthropic-ratelimit-input-tokens-remaining": "1000",
                "anthropic-ratelimit-input-tokens-reset": "2015-10-21T07:28:00Z",
                "anthropic-ratelimit-input-tokens-limit": "5000",
            },
            [RemainingLimit(unit="tokens", remaining=1000, reset=80)],
        ),
        (
            {
                "anthropic-ratelimit-requests-remaining": "3",
                "anthropic-ratelimit-requests-reset": "2015-10-21T07:20:00+00:00",
            },
            [RemainingLimit(unit="requests", remaining=3, reset=0)],
        ),
        ({"x-ratelimit-remaining-requests": "59"}, []),
        ({"x-ratelimit-remaining-requests": "many", "x-ratelimit-reset-requests": "1s"}, []),
        ({"x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": "soon"}, []),
        ({"x-ratelimit-remaining-requests": "nan", "x-ratelimit-reset-requests": "-1"}, []),
        ({"x-ratelimit-remaining-requests": "-1", "x-ratelimit-reset-requests": "1"}, []),
        ({"x-ratelimit-remaining-requests": "1e300", "x-ratelimit-reset-requests": "1"}, []),
        # OpenRouter, Together and others.
        (
            {"x-ratelimit-limit": "20", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1445412460000"},
            [RemainingLimit(unit="requests", remaining=0, reset=60)],
        ),
        # Azure.
        (
            {"x-rate-limit-remaining-tokens": "9", "x-rate-limit-reset-tokens": "30"},
            [RemainingLimit(unit="tokens", remaining=9, reset=30)],
        ),
        # The IETF's draft, its versions.
        (
            {"ratelimit-limit": "100", "ratelimit-remaining": "50", "ratelimit-reset": "30"},
            [RemainingLimit(unit="requests", remaining=50, reset=30)],
        ),
        ({"ratelimit": '"default";r=50;t=30'}, [RemainingLimit(unit="requests", remaining=50, reset=30)]),
        (
            {"ratelimit": '"minute";r=50;t=30, "daily-tokens";r=1000;t=36000'},
            [
                RemainingLimit(unit="requests", remaining=50, reset=30),
                RemainingLimit(unit="tokens", remaining=1000, reset=36000),
            ],
        ),
        ({"ratelimit": "limit=100, remaining=50, reset=5"}, [RemainingLimit(unit="requests", remaining=50, reset=5)]),
        ({"ratelimit": '"default";r=50'}, []),
        ({"ratelimit": '"default";r=-1;t=30, x;r=y;t=z, "'}, []),
        ({"ratelimit-policy": '"default";q=100;w=60'}, []),
    ],
)
def test_what_is_left_is_read_from_the_headers(headers: dict[str, str], expected: list[RemainingLimit]) -> None:
    for status in (200, 429, 503):
        assert METER.allowances(UpstreamResponse(status=status, headers=headers, body=b"")) == expected


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("1", 1),
        (" 33.1 ", 33.1),
        ("2678400", 31 * 86_400),
        ("1445412460", 60),
        ("1445412460.5", 60.5),
        ("1445412460000", 60),
        ("1445412460500", 60.5),
        ("1445412460000000", 60),
        ("1445412460000000000", 60),
        ("1445412340", 0),
        ("1445412340000", 0),
        ("1m 30s", 90),
        ("2m59.5s", 179.5),
        ("1500000us", 1.5),
        ("250000µs", 0.25),
        ("1D", 86_400),
        ("2015-10-21T07:28:00Z", 80),
        ("2015-10-21T09:28:00+02:00", 80),
        ("2015-10-21T07:28:00", 80),
        ("2015-10-21 07:28:00.500", 80.5),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 80),
        ("Wed, 21 Oct 2015 07:28:00 -0000", 80),
        ("Wed, 21 Oct 2015 07:20:00 GMT", 0),
    ],
)
@pytest.mark.parametrize(
    ("remaining", "reset"),
    [
        ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
        ("anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"),
    ],
)
def test_the_time_until_the_reset_is_read_from_spans_numbers_and_dates(
    remaining: str, reset: str, written: str, seconds: float
) -> None:
    answer = UpstreamResponse(status=200, headers={remaining: "3", reset: written}, body=b"")
    (allowance,) = METER.allowances(answer)
    assert allowance.reset == pytest.approx(seconds)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "soon",
        "-1",
        "1000000000",
        "2678401",
        "3000-01-01T00:00:00Z",
        "nan",
        "inf",
        "1e999",
        f"{'9' * 400}d",
        "9999-99-99",
        "Wed, 99 Oct",
    ],
)
def test_a_reset_that_is_not_a_time_is_ignored(written: str) -> None:
    headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": written}
    assert METER.allowances(UpstreamResponse(status=200, headers=headers, body=b"")) == []


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens", "max_output_tokens"])
def test_a_call_is_taken_to_cost_its_bytes_by_four_and_the_longest_answer(field: str) -> None:
    asked = call(**{field: 1_000, "text": "x" * 400})
    assert METER.estimate_tokens(asked) == 1_000 + len(asked.body) // 4


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"input_tokens": 10, "output_tokens": 5}, 15),
        ({"input_tokens": 10, "cache_read_input_tokens": 100, "output_tokens": 5}, 115),
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}, 15),
        ({"prompt_tokens": 10, "total_tokens": 10}, 10),
        ({"input_tokens": "10", "output_tokens": 4.5}, 15),
        ({"input_tokens": 1, "output_tokens": 2, "total_tokens": "?"}, 3),
    ],
)
def test_what_a_call_took_is_read_from_its_usage(usage: dict[str, object], tokens: int) -> None:
    assert METER.tokens_used(response({"usage": usage})) == tokens


@pytest.mark.parametrize("body", [b"", b"[]", {}, {"usage": None}, {"usage": "much"}])
def test_an_answer_without_usage_returns_none(body: object) -> None:
    assert METER.tokens_used(response(body)) is None


@given(left=st.text(max_size=12), reset=st.text(max_size=12), body=st.binary(max_size=40))
def test_nothing_that_is_sent_can_break_the_meter(left: str, reset: str, body: bytes) -> None:
    headers = {"x-ratelimit-remaining-tokens": left, "x-ratelimit-reset-tokens": reset}
    answer = UpstreamResponse(status=200, headers=headers, body=body)
    for allowance in METER.allowances(answer):
        assert allowance.remaining >= 0
        assert allowance.reset >= 0
    METER.tokens_used(answer)
    assert METER.estimate_tokens(UpstreamRequest(url="", headers={}, body=body, timeout=1)) >= 0
