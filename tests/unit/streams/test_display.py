"""The progress of a batch is one line of a terminal, and nothing elsewhere."""

import os
import pty
import sys
from typing import Any

import pytest

from batchgate_client.models import BatchPause, BatchProgress
from batchgate_streams import on_terminal, progress_line


def progress(status: Any = "in_progress", total: int = 100, **counts: Any) -> BatchProgress:
    zeros: dict[str, Any] = {
        "succeeded": 0,
        "errored": 0,
        "canceled": 0,
        "expired": 0,
        "repeated": 0,
        "paused": None,
        "last_refusal": None,
        "jobs": [],
    }
    return BatchProgress("b", status, total, **{**zeros, **counts})


def pause(reason: str) -> BatchPause:
    return BatchPause("key_rejected", reason)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (progress("validating", 0), "[------------------------] 0/0, validating"),
        (progress(succeeded=47, errored=3), "[############------------] 50/100, 3 errored, in progress"),
        (
            progress(paused=pause("the key is rejected")),
            "[------------------------] 0/100, in progress: the key is rejected",
        ),
        (progress("ended", canceled=60, expired=40), f"[{'#' * 24}] 100/100, 60 canceled, 40 expired, ended"),
    ],
)
def test_the_line_says_how_far_a_batch_is(given: BatchProgress, line: str) -> None:
    assert progress_line(given) == line


def test_each_line_takes_the_place_of_the_last_one_and_the_final_one_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, inside = pty.openpty()
    with os.fdopen(inside, "w") as stderr, monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", stderr)
        on_terminal(progress(succeeded=10, paused=pause("x" * 500)))
        on_terminal(progress("ended", succeeded=100))
    shown = os.read(terminal, 4096).decode()
    os.close(terminal)
    first, last = shown.removesuffix("\r\n").split("\r")
    assert "10/100" in first
    assert len(first) == len(last) < 500
    assert "100/100" in last


def test_nothing_is_written_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    on_terminal(progress("ended"))
    assert capsys.readouterr() == ("", "")
