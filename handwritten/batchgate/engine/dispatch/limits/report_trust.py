"""Compares what a provider reports as remaining with what it serves: some always report an exhausted limit.

A call that starts when the report says that nothing remains, before the reset, and is served although the next report
says the same, contradicts it.
After some contradictions the reports are ignored, until the provider refuses more calls than it serves: then they were
right, and twice as many contradictions are needed the next time, as a bucket that refills slowly contradicts them too.
"""

from __future__ import annotations

from math import inf
from typing import Final

FIRST_PATIENCE: Final = 3
MAX_PATIENCE: Final = 48
"""Contradictions after which reports are ignored: the first time, and at most."""
MAX_DOUBT_MARGIN: Final = 5
"""Refusals, beyond those of single calls, after which reports are believed again."""
RESET_MARGIN: Final = 1.0
"""Seconds before the reset in which a served call proves nothing, as clocks differ."""


class ReportTrust:
    """Decides whether reports that slow calls down are believed."""

    __slots__ = (
        "_allowed",
        "_doubt",
        "_excluded",
        "_patience",
        "_reported_at",
        "_starts",
        "_window_end",
        "ignores_reports",
    )

    def __init__(self) -> None:
        self.ignores_reports = False
        """Whether the reports are proven wrong."""
        self._doubt = 0
        self._patience = FIRST_PATIENCE
        self._window_end = -inf
        """The reset that was reported first of the present limit."""
        self._allowed = 0.0
        """The calls that were reported as remaining until then."""
        self._starts = 0
        self._reported_at = -inf
        self._excluded: set[float] = set()
        """The starts of calls in flight that the reports exclude."""

    @property
    def observes_outcomes(self) -> bool:
        """Whether the outcomes of calls have to be recorded."""
        return self.ignores_reports or bool(self._excluded)

    def record_report(self, now: float, calls: float, reset_at: float) -> None:
        """Record that a number of calls remains until a reset; a later reset does not end the first window."""
        self._reported_at = now
        if now >= self._window_end:
            self._window_end, self._allowed, self._starts = reset_at, calls, 0
        self._allowed = min(self._allowed, self._starts + calls)

    def record_consistent_report(self) -> None:
        """Record a report that does not slow calls down."""
        self._window_end = -inf
        self._doubt = max(0, self._doubt - 1)

    def record_start(self, now: float) -> None:
        """Record that a call starts while a report slows calls down."""
        self._starts += 1
        if self._starts > self._allowed and now < self._window_end - RESET_MARGIN:
            self._excluded.add(now)

    def record_outcome(self, started_at: float, *, served: bool) -> None:
        """Record whether a call was served or refused for load."""
        excluded = started_at in self._excluded and self._reported_at > started_at
        self._excluded.discard(started_at)
        if not served:
            self._doubt = max(0, self._doubt - 1)
        elif self.ignores_reports or excluded:
            self._doubt = min(self._doubt + 1, self._patience + MAX_DOUBT_MARGIN)
        if self.ignores_reports and not self._doubt:
            self.ignores_reports = False
            self._patience = min(2 * self._patience, MAX_PATIENCE)
        elif self._doubt >= self._patience and not self.ignores_reports:
            self.ignores_reports = True
            self._window_end = -inf
            self._excluded.clear()
