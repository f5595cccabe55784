"""The peak of another process's memory while something is done to it."""

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
        """Bytes above what the process had at the beginning, at the worst."""

    def __enter__(self) -> Self:
        """Begin to sample."""
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
