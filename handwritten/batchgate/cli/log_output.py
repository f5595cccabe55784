"""Where log records go: the one place that configures logging."""

from __future__ import annotations

import logging
import sys
from typing import Final, get_args

from batchgate.settings import LogFormat, LogLevel
from batchgate.telemetry.log_lines import JsonLines, TextLines

FORMATS: Final[tuple[LogFormat, ...]] = get_args(LogFormat)
LEVELS: Final[tuple[LogLevel, ...]] = get_args(LogLevel)


def log_to_stderr(level: LogLevel, form: LogFormat = "text") -> None:
    """Write records of a level and above to stderr, one line each; warnings of Python are among them."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    # Its debug records say which selector is used, to nobody's gain.
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    # It and its pool warn of each try while the database is away; that it is, is said by ourselves, once.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    # It counts the statements of migrations; which were applied is said by ourselves.
    logging.getLogger("yoyo").setLevel(logging.WARNING)
