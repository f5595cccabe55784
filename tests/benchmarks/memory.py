"""The peak memory of another process while a benchmark calls it."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

import psutil

INTERVAL = 0.01  # seconds


class PeakMemory:
    """Samples the resident memory of a process while the context is entered."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self.growth = 0
        """The largest number of bytes above the memory at the beginning."""

    def __enter__(self) -> Self:
        """Start sampling."""
        self._before = self._process.memory_info().rss
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop sampling."""
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(INTERVAL):
            self.growth = max(self.growth, self._process.memory_info().rss - self._before)
