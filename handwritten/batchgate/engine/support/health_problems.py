"""What is not well in the engine now: each part reports its faults and their end, and /health shows them."""

from __future__ import annotations

import logging
from typing import Protocol

from batchgate.engine.model.errors import LOGGABLE_ERRORS, loggable_text

logger = logging.getLogger(__name__)


class ReportHealth(Protocol):
    """Told of a fault of some part of the engine, or with None that the part is well again.

    ``of`` tells apart what the part works on: it is well when all of that is.
    """

    def __call__(self, part: str, error: Exception | None, *, of: str = "") -> None:
        """Report."""
        ...


class HealthProblems:
    """The faults that are not over yet, by part and by what the part works on."""

    def __init__(self) -> None:
        self._parts: dict[str, dict[str, str]] = {}

    def __len__(self) -> int:
        """Count the parts that are not well."""
        return len(self._parts)

    def report(self, part: str, error: Exception | None, *, of: str = "") -> None:
        """Remember a fault, or that it is over; both are logged when they begin."""
        faults = self._parts.get(part, {})
        if error is not None:
            problem = _told(error)
            if of not in faults:
                logger.error("%s: %s", part, problem, extra={"action": "component_unhealthy", "part": part})
            self._parts.setdefault(part, {})[of] = problem
        elif faults.pop(of, None) is not None and not faults:
            del self._parts[part]
            logger.info("%s: well again", part, extra={"action": "component_recovered", "part": part})

    def crashed(self, part: str) -> None:
        """Remember what is never over."""
        self._parts.setdefault(part, {})["crash"] = "it has crashed; the log says why"

    def sentences(self) -> tuple[str, ...]:
        """Say one of the faults of each part, and how many there are beside it."""
        return tuple(f"{part}: {_sentence(faults)}" for part, faults in sorted(self._parts.items()))


def _told(error: Exception) -> str:
    """Say an error as callers may read it in /health: without the paths of this machine, and without a request."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__qualname__
    return str(error) if isinstance(error, LOGGABLE_ERRORS) else f"{loggable_text(error)}; the log says where"


def _sentence(faults: dict[str, str]) -> str:
    more = len(faults) - 1
    return next(iter(faults.values())) + (f" (and {more} more like it)" if more else "")
