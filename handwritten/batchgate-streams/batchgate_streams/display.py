"""Shows the progress of a batch on one line of a terminal."""

from __future__ import annotations

import os
import sys
from typing import Final

from batchgate_client.models import BatchProgress
from batchgate_streams.polling import FINAL

BAR: Final = 24  # characters


def on_terminal(progress: BatchProgress) -> None:
    """Write the progress line to stderr if it is a terminal; the next one overwrites it, until the batch is final.

    The line ends with a carriage return, so that other output, such as a traceback, starts on a new line.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        return
    columns = os.get_terminal_size(sys.stderr.fileno()).columns or 80
    sys.stderr.write(progress_line(progress)[: columns - 1].ljust(columns - 1))
    sys.stderr.write("\n" if progress.status in FINAL else "\r")
    sys.stderr.flush()


def progress_line(progress: BatchProgress) -> str:
    """Return the progress of a batch: ``[######------] 50/100, 3 errored, in progress: why it is paused``."""
    done = progress.succeeded + progress.errored + progress.canceled + progress.expired
    full = BAR * done // progress.total if progress.total else 0
    counts = {"errored": progress.errored, "canceled": progress.canceled, "expired": progress.expired}
    parts = [f"[{'#' * full}{'-' * (BAR - full)}] {done}/{progress.total}"]
    parts += [f"{count} {name}" for name, count in counts.items() if count]
    parts.append(progress.status.replace("_", " "))
    return ", ".join(parts) + (f": {progress.paused.reason}" if progress.paused else "")
