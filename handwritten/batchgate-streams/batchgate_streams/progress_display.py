"""Chooses how progress is shown: a bar in terminals and notebooks, a line a minute elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Literal, TypeAlias

from batchgate_client.models import BatchProgress
from batchgate_streams.display import done, failure_lines, on_terminal, progress_line, state
from batchgate_streams.polling import FINAL

ShowProgress: TypeAlias = Callable[[BatchProgress], None] | Literal["auto"] | None
"""A function that gets each progress; ``auto`` for what fits the place where the program runs; None for nothing."""
LINE_EVERY: Final = 60.0  # seconds
_BAR_FORMAT: Final = "{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}{postfix}"


@contextmanager
def showing(progress: ShowProgress) -> Iterator[Callable[[BatchProgress], None]]:
    """Yield what shows progress, and close it at the end."""
    if progress is None:
        yield lambda _: None
    elif progress != "auto":
        yield progress
    elif not (_is_terminal() or _is_notebook()):
        yield PeriodicLines()
    elif _has_tqdm():
        bar = Bar()
        try:
            yield bar
        finally:
            bar.close()
    else:
        yield on_terminal if _is_terminal() else PeriodicLines()


class PeriodicLines:
    """Writes a line to stderr every minute, and at the end if there was one before: short batches write nothing."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._last = now()
        self._has_written = False

    def __call__(self, progress: BatchProgress) -> None:
        """Write the line if it is time."""
        is_final = progress.status in FINAL
        if self._now() < self._last + LINE_EVERY and not (is_final and self._has_written):
            return
        self._last, self._has_written = self._now(), True
        if sys.stderr is not None:
            for line in [progress_line(progress), *(failure_lines(progress) if is_final else [])]:
                print(line, file=sys.stderr, flush=True)  # noqa: T201 this is what the class is for


class Bar:
    """The bar of tqdm: a line of a terminal, or a widget of a notebook."""

    def __init__(self) -> None:
        from tqdm.auto import tqdm  # noqa: PLC0415 an extra

        self._bar = tqdm(total=0, bar_format=_BAR_FORMAT, dynamic_ncols=True)

    def __call__(self, progress: BatchProgress) -> None:
        """Show the progress, and why requests failed if it is final."""
        self._bar.total = progress.total
        self._bar.n = done(progress)
        self._bar.set_postfix_str(", ".join(state(progress)), refresh=True)
        if progress.status in FINAL:
            self.close()
            for line in failure_lines(progress):
                self._bar.write(line, file=sys.stderr)

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.close()


def _has_tqdm() -> bool:
    try:
        import tqdm.auto  # noqa: F401, PLC0415 an extra
    except ImportError:
        return False
    return True


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def _is_notebook() -> bool:
    """Say whether the program runs in a kernel of Jupyter."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and "IPKernelApp" in shell.config
