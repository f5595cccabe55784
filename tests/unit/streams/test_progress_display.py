"""Progress is a bar in terminals and notebooks, and a line a minute elsewhere."""

from __future__ import annotations

import os
import pty
import sys
import termios
from types import SimpleNamespace

import pytest

from batchgate_client.models import BatchProgress, FailureGroup
from batchgate_streams.display import on_terminal
from batchgate_streams.progress_display import Bar, PeriodicLines, showing
from tests.unit.streams.test_display import all_of, progress


def test_a_function_of_the_caller_is_called_and_none_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[BatchProgress] = []
    with showing(seen.append) as show:
        show(progress())
    with showing(None) as show:
        show(progress("ended"))
    assert len(seen) == 1
    assert capsys.readouterr() == ("", "")


def test_without_a_terminal_a_line_is_written_every_minute_and_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    lines = PeriodicLines(lambda: now)
    for now in range(0, 130, 10):
        lines(progress(succeeded=now // 10))
    failures = [FailureGroup("not_found_error", "no model", 1, ["a"], "no model")]
    lines(progress("ended", succeeded=99, errored=1, failures=failures))
    written = capsys.readouterr().err.splitlines()
    assert [line.partition("] ")[2].partition(",")[0] for line in written[:3]] == ["6/100", "12/100", "100/100"]
    assert written[3:] == ["1 not_found_error: no model (a)"]


def test_a_batch_of_less_than_a_minute_writes_nothing_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with showing("auto") as show:
        show(progress(succeeded=1))
        show(progress("ended", succeeded=100))
    assert capsys.readouterr() == ("", "")


def test_a_terminal_shows_a_bar_that_ends_with_the_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [FailureGroup("expired", None, 2, [], "late")]
    terminal, inside = pty.openpty()
    termios.tcsetwinsize(inside, (24, 100))
    with os.fdopen(inside, "w") as stderr, monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", stderr)
        with showing("auto") as show:
            assert isinstance(show, Bar)
            show(progress(succeeded=47, errored=3))
            show(progress("ended", succeeded=98, expired=2, failures=failures))
    shown = all_of(terminal)
    assert " 50%|" in shown
    assert "50/100, 3 errored, in progress" in shown
    assert "100/100, 2 expired, ended" in shown
    assert shown.splitlines()[-1].strip() == "2 expired: other messages"


def test_without_tqdm_a_terminal_shows_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, inside = pty.openpty()
    with os.fdopen(inside, "w") as stderr, monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", stderr)
        patched.setitem(sys.modules, "tqdm.auto", None)
        with showing("auto") as show:
            assert show is on_terminal
    assert all_of(terminal) == ""


def test_a_notebook_shows_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    with showing("auto") as show:
        assert isinstance(show, Bar)
