"""The forecast of a batch as text: how long, between which bounds, how fast."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from batchgate.cli.forecast_text import forecast_text, misses_text, short_forecast, span_text
from batchgate.cli.rendering import table_row
from batchgate_api.gateway import BatchForecast, BatchSpend, BatchSummary

NOW = datetime(2026, 10, 21, 7, 0, tzinfo=UTC)


def forecast(**fields: Any) -> BatchForecast:
    given: dict[str, Any] = {
        "basis": "calls",
        "requests_per_second": 12.34,
        "ends_at": "2026-10-21T07:10:00.000000Z",
        "earliest": "2026-10-21T07:09:00.000000Z",
        "latest": "2026-10-21T07:11:30.000000Z",
        "unfinished_at_expiry": 0,
        "total_usd": None,
    }
    return BatchForecast(**(given | fields))


@pytest.mark.parametrize(
    ("fields", "text", "short"),
    [
        ({}, "ends in 10 min (9 min to 11 min 30 s), 12.3 requests a second", "12.3/s, 10 min left"),
        (
            {"ends_at": None, "requests_per_second": 0.05},
            "the end is not known, 3.0 requests a minute",
            "0.1/s",
        ),
        (
            {"basis": "jobs", "requests_per_second": 0.0},
            "ends within 10 min: its jobs may end at any time until then",
            "at most 10 min left",
        ),
        (
            {"basis": "calls_and_jobs", "latest": None},
            "ends in 10 min, 12.3 requests a second; its jobs may take as long",
            "12.3/s, at most 10 min left",
        ),
    ],
)
def test_the_text_says_how_long_and_how_fast(fields: dict[str, Any], text: str, short: str) -> None:
    assert forecast_text(forecast(**fields), NOW) == text
    assert short_forecast(forecast(**fields), NOW) == short


def test_requests_that_will_be_missing_are_told_with_what_helps() -> None:
    assert misses_text(forecast()) is None
    assert misses_text(forecast(unfinished_at_expiry=None)) is None
    text = misses_text(forecast(unfinished_at_expiry=1200))
    assert text is not None
    assert text.startswith("1,200 requests will have no result when the batch expires")


def summary(**fields: Any) -> BatchSummary:
    given: dict[str, Any] = {
        "id": "msgbatch_1",
        "name": "nightly",
        "metadata": None,
        "parent": None,
        "status": "in_progress",
        "model": "m",
        "account": "a",
        "total": 2000,
        "succeeded": 900,
        "errored": 100,
        "canceled": 0,
        "expired": 0,
        "paused": None,
        "spent": BatchSpend(direct_usd=1.004, native_usd=0.5, saved_usd=0.0, unpriced=0),
        "forecast": forecast(),
        "created_at": "2026-10-21T06:00:00.000000Z",
        "expires_at": "2026-10-22T06:00:00.000000Z",
        "ended_at": None,
        "retried_calls": [],
    }
    return BatchSummary(**(given | fields))


def test_a_row_of_the_list_has_the_time_that_a_batch_has_taken_or_will_take() -> None:
    assert span_text(summary(), NOW) == "10 min left"
    assert span_text(summary(forecast=None), NOW) is None
    assert span_text(summary(forecast=forecast(ends_at=None)), NOW) is None
    assert span_text(summary(ended_at="2026-10-21T07:00:30.000000Z")) == "1 h"


def test_a_row_of_the_list_has_what_is_done_and_what_it_has_cost() -> None:
    free = BatchSpend(direct_usd=0.0, native_usd=0.0, saved_usd=0.0, unpriced=0)
    assert "  1000/2000      $1.50  " in table_row(summary())
    assert table_row(summary()).endswith("  1000 processing, 900 succeeded, 100 errored")
    assert "  1000/2000          -  -  " in table_row(summary(forecast=None, spent=free))[:-40]


def test_a_batch_without_a_forecast_has_none_in_its_progress_bar() -> None:
    assert short_forecast(None) is None
