"""Times the event loop of any program that is started with this folder in PYTHONPATH.

The file named by LOOP_TIMES contains the longest time between two calls of ``select``, in seconds, and the longest
processor time of the process between two of them: other work of the machine lengthens only the first.
"""

import os
import selectors
import time
from pathlib import Path

FILE = Path(os.environ["LOOP_TIMES"])


class TimedSelector(selectors.DefaultSelector):
    """Records the longest time that the loop was busy after a ``select``."""

    selected_at: tuple[float, float] | None = None
    longest = (0.0, 0.0)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for events."""
        if self.selected_at is not None:
            elapsed, processor = time.perf_counter() - self.selected_at[0], time.process_time() - self.selected_at[1]
            if elapsed > self.longest[0] or processor > self.longest[1]:
                self.longest = (max(elapsed, self.longest[0]), max(processor, self.longest[1]))
                FILE.write_text(f"{self.longest[0]} {self.longest[1]}")
        events = super().select(timeout)
        self.selected_at = (time.perf_counter(), time.process_time())
        return events


setattr(selectors, "DefaultSelector", TimedSelector)  # noqa: B010 - mypy takes it for a type
