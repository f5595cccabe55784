"""Why a job is stopped for its batch, which goes on: the words that people read."""

from __future__ import annotations

from typing import Final

MOVED: Final = "its batch was moved to the lane direct"
PAUSED: Final = "its batch was paused, and the pause cancels its jobs"
RESCUED: Final = "the time left is what the direct lane needs"
MAY_BE_REPLANNED: Final = frozenset({MOVED, PAUSED, RESCUED})
"""After these another job may get what the stopped one leaves unanswered, if the lane of the batch is then for jobs."""
