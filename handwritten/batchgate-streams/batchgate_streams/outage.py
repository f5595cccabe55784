"""How long calls may fail before the error is raised; without a clock and without network."""

from __future__ import annotations

from typing import Final

from batchgate_streams.errors import ConnectionFailed, GatewayRefused

MAX_OUTAGE: Final = 60.0
"""Seconds for which the gateway may be unreachable or overloaded, as in a restart, before waiting fails."""
_TOO_MANY: Final = 429
SERVER_ERROR: Final = 500


def retry_delay(error: ConnectionFailed | GatewayRefused, least: float) -> float:
    """Return the delay until the next try, which obeys Retry-After; raises the error if a retry is useless."""
    if not isinstance(error, GatewayRefused):
        return least
    if error.status != _TOO_MANY and error.status < SERVER_ERROR:
        raise error
    return max(least, error.refusal.retry_after or 0)


class Outage:
    """The time since the first of the failures in a row; all times are seconds on one clock."""

    def __init__(self) -> None:
        self._since: float | None = None

    def begin(self, now: float) -> None:
        """Note a failure."""
        self._since = now if self._since is None else self._since

    def end(self) -> None:
        """Note that the gateway has answered."""
        self._since = None

    def check(self, error: ConnectionFailed | GatewayRefused, next_try: float) -> None:
        """Raise the error if the next try is too late."""
        if self._since is not None and next_try > self._since + MAX_OUTAGE:
            raise error
