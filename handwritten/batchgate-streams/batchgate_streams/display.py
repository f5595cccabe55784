"""Shows the progress of a batch on one line of a terminal."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from typing import Final

from batchgate_client.models import BatchProgress, FailureGroup
from batchgate_streams.polling import FINAL

BAR: Final = 24  # characters
MOST_GROUPS: Final = 5
"""Groups of failures that are shown; `BatchProgress.failures` has all."""


def on_terminal(progress: BatchProgress) -> None:
    """Write the progress line to stderr if it is a terminal; the next one overwrites it, until the batch is final.

    Below the last one, a line for each of the largest groups of failures says why requests failed.
    The line ends with a carriage return, so that other output, such as a traceback, starts on a new line.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        return
    columns = os.get_terminal_size(sys.stderr.fileno()).columns or 80
    is_final = progress.status in FINAL
    for line in [progress_line(progress), *(failure_lines(progress) if is_final else [])]:
        sys.stderr.write(line[: columns - 1].ljust(columns - 1))
        sys.stderr.write("\n" if is_final else "\r")
    sys.stderr.flush()


def progress_line(progress: BatchProgress) -> str:
    """Return the progress of a batch: ``[######------] 50/100, 3 errored, in progress, 2.5/s, 0:00:20 left``.

    If it is paused, the line ends with the reason.
    """
    ended = done(progress)
    full = BAR * ended // progress.total if progress.total else 0
    return ", ".join([f"[{'#' * full}{'-' * (BAR - full)}] {ended}/{progress.total}", *state(progress)])


def done(progress: BatchProgress) -> int:
    """Return the number of requests that have a result."""
    return progress.succeeded + progress.errored + progress.canceled + progress.expired


def state(progress: BatchProgress) -> list[str]:
    """Return what is beside the bar: what went wrong, the status, the rate and the time left, why it is paused."""
    counts = {"errored": progress.errored, "canceled": progress.canceled, "expired": progress.expired}
    parts = [f"{count} {name}" for name, count in counts.items() if count]
    parts += [progress.status.replace("_", " "), *_forecast(progress)]
    if progress.paused:
        parts[-1] += f": {progress.paused.reason}"
    return parts


def _forecast(progress: BatchProgress) -> list[str]:
    """Return the rate and the time left, as far as they are known."""
    forecast = progress.forecast
    if forecast is None:
        return []
    parts = [f"{forecast.requests_per_second:.1f}/s"] if forecast.requests_per_second else []
    if forecast.ends_at is not None:
        left = max(0, round((forecast.ends_at - datetime.now(UTC)).total_seconds()))
        parts.append(f"{left // 3600}:{left // 60 % 60:02}:{left % 60:02} left")
    return parts


def failure_lines(progress: BatchProgress) -> list[str]:
    """Return why requests failed, one line a group: ``3 not_found_error: no such model (a, b, c)``."""
    return [_failure_line(group) for group in progress.failures[:MOST_GROUPS]]


def _failure_line(group: FailureGroup) -> str:
    message = "other messages" if group.message is None else group.message
    ids = f" ({', '.join(group.custom_ids)})" if group.custom_ids else ""
    line = f"{group.count} {group.kind}: {message}{ids}"
    return "".join(character if character.isprintable() else " " for character in line)
