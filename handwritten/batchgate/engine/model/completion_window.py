"""The completion window of a batch, the time from its creation to its expiry: whole hours or days, 1h to 7d."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from batchgate.engine.model.clock import DAY, HOUR

DEFAULT_WINDOW: Final = "24h"
WINDOWS: Final = "whole hours or days from 1h to 7d, such as 24h"
"""What a completion window may be, in words."""
LONGEST_WINDOW: Final = 7 * DAY
_UNITS: Final[Mapping[str, int]] = {"h": HOUR, "d": DAY}


def window_length(window: str) -> int:
    """Return the length of a valid completion window in microseconds."""
    return int(window[:-1]) * _UNITS[window[-1]]
