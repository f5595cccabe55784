"""Configures logging; no other module does."""

from __future__ import annotations

import logging
import sys
from typing import Final, get_args

from batchgate.settings import LogFormat, LogLevel
from batchgate.telemetry.log_lines import JsonLines, TextLines
from batchgate.telemetry.repeated_records import RepeatedRecords

FORMATS: Final[tuple[LogFormat, ...]] = get_args(LogFormat)
LEVELS: Final[tuple[LogLevel, ...]] = get_args(LogLevel)


def log_to_stderr(level: LogLevel, form: LogFormat = "text") -> None:
    """Write log records of a level and above to stderr, one a line, Python warnings included."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(RepeatedRecords())
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    # asyncio's debug records only name the selector.
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    # psycopg and its pool warn about each attempt during an outage of the database, which we log once.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    # yoyo logs the statements of migrations; we log which migrations were applied.
    logging.getLogger("yoyo").setLevel(logging.WARNING)
