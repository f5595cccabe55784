"""Times the event loop of any program that is started with this folder in PYTHONPATH.

The longest time between two looks for events is kept in the file that LOOP_TIMES names, in seconds.
"""

import os
import selectors
import time
from pathlib import Path

FILE = Path(os.environ["LOOP_TIMES"])


class TimedSelector(selectors.DefaultSelector):
    """Notes how long the loop was busy since it was last told of events."""

    told = 0.0
    worst = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for events."""
        busy = time.perf_counter() - self.told
        if self.told and busy > self.worst:
            self.worst = busy
            FILE.write_text(f"{busy}")
        events = super().select(timeout)
        self.told = time.perf_counter()
        return events


setattr(selectors, "DefaultSelector", TimedSelector)  # noqa: B010 - mypy takes it for a type
