"""The clock of a process: it goes on through jumps of the system's clock, and is compared with the database's clock.

A clock that is set wrong for a moment must not expire or delete anything: that cannot be undone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from batchgate.engine.model.clock import HOUR, MAX_SLEEP, MICROSECONDS, TimeSource

MAX_JUMP: Final = HOUR
"""The most by which a clock may be set at once without a doubt about it."""
SETTLING_TIME: Final = 5 * 60 * MICROSECONDS
"""For how long a time after a jump has to last before it is believed."""
MAX_DEVIATION: Final = 60 * MICROSECONDS
"""The most by which the clocks of this machine and of the database may differ."""


class SteadyOffset:
    """The difference between a wall clock and the monotonic clock, without jumps that do not last."""

    def __init__(self, offset: int) -> None:
        self.latest = offset
        """The difference as it was last observed."""
        self.steady = offset
        """The difference that is believed."""
        self._jumped_at: int | None = None
        self._jumped_to = offset

    @property
    def jump(self) -> int:
        """By how much the clock has jumped, in microseconds; 0 if it has not, or if the new time is believed."""
        return 0 if self._jumped_at is None else self.latest - self.steady

    def observe(self, offset: int, at: int) -> None:
        """Record the difference at a time of the monotonic clock."""
        self.latest = offset
        if abs(offset - self.steady) <= MAX_JUMP:
            self.believe(offset)
        elif self._jumped_at is None or abs(offset - self._jumped_to) > MAX_JUMP:
            self._jumped_at, self._jumped_to = at, offset
        elif at >= self._jumped_at + SETTLING_TIME:
            self.believe(offset)

    def believe(self, offset: int) -> None:
        """Take a difference as the right one, whatever was observed before."""
        self.steady, self._jumped_at = offset, None


class SteadyClock:
    """The `ExpiryClock` of a process.

    After a jump of more than `MAX_JUMP` the time goes on as if there had been none, until the new time has lasted for
    `SETTLING_TIME`. While the clock differs from the database's by more than `MAX_DEVIATION`, the time is the
    database's, which all processes share. In both cases the clock has a problem, and nothing counts as passed.
    """

    def __init__(self, source: TimeSource) -> None:
        self._source = source
        self._own = SteadyOffset(source.now() - source.monotonic())
        self._database: SteadyOffset | None = None

    def now(self) -> int:
        """Return the current time in microseconds since the epoch."""
        monotonic = self._observe()
        offset = self._own if self._database is None or not self._deviation else self._database
        return monotonic + offset.steady

    async def sleep_until(self, moment: int) -> None:
        """Sleep until a time in microseconds since the epoch."""
        while (left := moment - self.now()) > 0:
            await self._source.sleep(min(left / MICROSECONDS, MAX_SLEEP))

    async def sleep(self, seconds: float) -> None:
        """Sleep, whatever the wall clock is set to meanwhile."""
        await self._source.sleep(seconds)

    @property
    def problem(self) -> str | None:
        """Why the time is in doubt; None while it is not."""
        self._observe()
        if self._deviation:
            return (
                f"the clock of this machine is {_span(self._deviation)} the database's clock;"
                " until they agree, this process expires and removes nothing by time"
            )
        if not self._own.jump:
            return None
        return (
            f"the clock has jumped: it is {_span(self._own.jump)} the time before;"
            f" nothing expires or is removed by time until the new time has lasted for"
            f" {SETTLING_TIME // MICROSECONDS // 60} minutes"
        )

    def has_passed(self, moment: int) -> bool:
        """Return whether a time has passed for certain; False while the time is in doubt."""
        return self.problem is None and self.now() >= moment

    async def compare(self, database_time: Callable[[], Awaitable[int]]) -> None:
        """Compare with the clock of the database, which ``database_time`` reads; raises its errors."""
        before = self._source.monotonic()
        read = await database_time()
        after = self._source.monotonic()
        offset = read - (before + after) // 2
        if self._database is None:
            self._database = SteadyOffset(offset)
        self._database.observe(offset, after)
        self._observe()
        if not self._own.jump and not self._deviation:  # two clocks agree, whatever the database's was before
            self._database.believe(offset)

    def _observe(self) -> int:
        """Compare both clocks, and return the time of the monotonic one."""
        monotonic = self._source.monotonic()
        self._own.observe(self._source.now() - monotonic, monotonic)
        return monotonic

    @property
    def _deviation(self) -> int:
        """By how much this clock is ahead of the database's, if that is too much; otherwise 0."""
        deviation = 0 if self._database is None else self._own.latest - self._database.latest
        return deviation if abs(deviation) > MAX_DEVIATION else 0


def _span(difference: int) -> str:
    """Describe a difference, such as ``25.0 hours ahead of``."""
    seconds = abs(difference) / MICROSECONDS
    amount = f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds:.0f} seconds"
    return f"{amount} {'ahead of' if difference > 0 else 'behind'}"
