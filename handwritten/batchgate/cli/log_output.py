"""Configures logging; no other module does."""

from __future__ import annotations

import logging
import sys
from typing import Final, TextIO, get_args

from batchgate.settings import LogFormat, LogLevel
from batchgate.telemetry.log_lines import JsonLines, TextLines
from batchgate.telemetry.repeated_records import RepeatedRecords

FORMATS: Final[tuple[LogFormat, ...]] = get_args(LogFormat)
LEVELS: Final[tuple[LogLevel, ...]] = get_args(LogLevel)


class _LineHandler(logging.StreamHandler[TextIO]):
    """Writes lines to a stream that is flushed at each line end, as stderr always is."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        try:
            self.stream.write(f"{self.format(record)}{self.terminator}")
        except Exception:  # noqa: BLE001 - logging must not fail its caller
            self.handleError(record)


def log_to_stderr(level: LogLevel, form: LogFormat = "text") -> None:
    """Write log records of a level and above to stderr, one a line, Python warnings included."""
    handler = _LineHandler(sys.stderr)
    handler.addFilter(RepeatedRecords())
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    # Records need not look up what no line shows (Python's logging HOWTO, "Optimization").
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # asyncio's debug records only name the selector.
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    # psycopg and its pool warn about each attempt during an outage of the database, which we log once.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    # yoyo logs the statements of migrations; we log which migrations were applied.
    logging.getLogger("yoyo").setLevel(logging.WARNING)
