"""Bounds how often one message is logged, so that a fault that repeats without pause does not fill the disk."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

PERIOD: Final = 60.0  # seconds
MAX_RECORDS: Final = 100
"""Records of one message in each period."""
MAX_MESSAGES: Final = 1000
"""Messages that are told apart: those of libraries may have values in them."""


class RepeatedRecords(logging.Filter):
    """A filter for warnings and errors: of one message of one logger, it passes only so many in a minute.

    The first record of the next minute says how many were left out.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._begun = clock()
        self._counts: dict[tuple[str, str], int] = {}
        self._left_out: dict[tuple[str, str], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is logged."""
        if record.levelno < logging.WARNING:
            return True
        self._begin_period_if_over()
        key = (record.name, str(record.msg))
        if key not in self._counts and len(self._counts) >= MAX_MESSAGES:
            key = ("", "")
        self._counts[key] = count = self._counts.get(key, 0) + 1
        if left_out := self._left_out.pop(key, 0):
            record.msg = f"{record.msg!s} (and {left_out} more like it, not logged)"
        return count <= MAX_RECORDS

    def _begin_period_if_over(self) -> None:
        if self._clock() - self._begun < PERIOD:
            return
        self._begun = self._clock()
        self._left_out = {key: count - MAX_RECORDS for key, count in self._counts.items() if count > MAX_RECORDS}
        self._counts = {}
