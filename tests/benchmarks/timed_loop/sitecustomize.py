"""Times the event loop of any program that is started with this folder in PYTHONPATH.

The file named by LOOP_TIMES contains the longest time between two calls of ``select``, in seconds.
"""

import os
import selectors
import time
from pathlib import Path

FILE = Path(os.environ["LOOP_TIMES"])


class TimedSelector(selectors.DefaultSelector):
    """Records the longest time that the loop was busy after a ``select``."""

    selected_at = 0.0
    worst = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for events."""
        busy = time.perf_counter() - self.selected_at
        if self.selected_at and busy > self.worst:
            self.worst = busy
            FILE.write_text(f"{busy}")
        events = super().select(timeout)
        self.selected_at = time.perf_counter()
        return events


setattr(selectors, "DefaultSelector", TimedSelector)  # noqa: B010 - mypy takes it for a type
