"""The progress of a batch is one line of a terminal, and nothing elsewhere."""

import os
import pty
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from batchgate_client.models import BatchForecast, BatchPause, BatchProgress, BatchSpend, BatchTokens, FailureGroup
from batchgate_streams import on_terminal, progress_line

PAST = datetime(2026, 10, 21, tzinfo=UTC)


def progress(status: Any = "in_progress", total: int = 100, **counts: Any) -> BatchProgress:
    zeros: dict[str, Any] = {
        "succeeded": 0,
        "errored": 0,
        "canceled": 0,
        "expired": 0,
        "repeated": 0,
        "paused": None,
        "last_refusal": None,
        "concurrency": [],
        "lanes": [],
        "jobs": [],
        "paid_twice": 0,
        "spent": BatchSpend(0, 0, 0, 0),
        "tokens": BatchTokens(0, 0, 0, 0),
        "forecast": None,
        "failures": [],
        "name": None,
        "metadata": None,
        "parent": None,
        "reuses": None,
        "reused": 0,
        "budget_usd": None,
        "priority": "normal",
        "priority_scope": "workspace",
        "concurrency_cap": None,
        "retried_calls": [],
    }
    return BatchProgress("b", status, total, **{**zeros, **counts})


def pause(reason: str) -> BatchPause:
    return BatchPause("paused", "key_rejected", reason, datetime(2026, 10, 21, tzinfo=UTC), None, None)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (progress("validating", 0), "[------------------------] 0/0, validating"),
        (progress(succeeded=47, errored=3), "[############------------] 50/100, 3 errored, in progress"),
        (
            progress(paused=pause("the key is rejected")),
            "[------------------------] 0/100, in progress: the key is rejected",
        ),
        (
            progress(succeeded=50, forecast=BatchForecast("calls", 2.5, PAST, None, None, 0, None)),
            "[############------------] 50/100, in progress, 2.5/s, 0:00:00 left",
        ),
        (progress("ended", canceled=60, expired=40), f"[{'#' * 24}] 100/100, 60 canceled, 40 expired, ended"),
    ],
)
def test_the_line_says_how_far_a_batch_is(given: BatchProgress, line: str) -> None:
    assert progress_line(given) == line


def all_of(terminal: int) -> str:
    """Read what was written to a terminal whose other side is closed; one read may return a part of it."""
    read = b""
    with os.fdopen(terminal, "rb", buffering=0) as reader, suppress(OSError):  # at the end reading fails
        while piece := reader.read(4096):
            read += piece
    return read.decode()


def test_each_line_takes_the_place_of_the_last_one_and_the_final_one_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, inside = pty.openpty()
    with os.fdopen(inside, "w") as stderr, monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", stderr)
        on_terminal(progress(succeeded=10, paused=pause("x" * 500)))
        on_terminal(progress("ended", succeeded=100))
    shown = all_of(terminal)
    first, last = shown.removesuffix("\r\n").split("\r")
    assert "10/100" in first
    assert len(first) == len(last) < 500
    assert "100/100" in last


def test_the_final_line_is_followed_by_why_requests_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [
        FailureGroup("not_found_error", "no model\x1b[2J", 3, ["a", "b", "c"], "no model"),
        FailureGroup("expired", None, 2, [], "late"),
    ]
    terminal, inside = pty.openpty()
    with os.fdopen(inside, "w") as stderr, monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", stderr)
        on_terminal(progress(errored=3, failures=failures))
        on_terminal(progress("ended", errored=3, expired=2, failures=failures))
    shown = all_of(terminal)
    *_, first, second = [line.rstrip() for line in shown.splitlines()]
    assert first == "3 not_found_error: no model [2J (a, b, c)"
    assert second == "2 expired: other messages"
    assert shown.count("not_found_error") == 1


def test_nothing_is_written_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    on_terminal(progress("ended"))
    assert capsys.readouterr() == ("", "")
