"""The problems of this process: components report when they fail and when they work again; /health lists them."""

from __future__ import annotations

import logging
from typing import Protocol

from msgspec import Struct

from batchgate.engine.model.clock import Clock
from batchgate.engine.model.errors import (
    LOGGABLE_ERRORS,
    BlobError,
    BudgetReached,
    ClockError,
    ConfigurationError,
    DamagedBlob,
    StoreError,
    UpstreamError,
    loggable_text,
)
from batchgate.engine.model.health_report import HealthProblem, ProblemCode

logger = logging.getLogger(__name__)


class HealthReporter(Protocol):
    """Called with an error when a component fails, and with None when it works again.

    ``of`` names the object that the component works on: the component is healthy when it works for all of them.
    """

    def __call__(self, component: str, error: Exception | None, *, of: str = "") -> None:
        """Report."""
        ...


class _Fault(Struct, frozen=True):
    code: ProblemCode
    since: int
    message: str


class HealthProblems:
    """The present faults, by component and by the object that the component works on."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._faults: dict[str, dict[str, _Fault]] = {}

    def __len__(self) -> int:
        """Count the components that have a problem."""
        return len(self._faults)

    def report(self, component: str, error: Exception | None, *, of: str = "") -> None:
        """Record a fault, or its end; each is logged once."""
        faults = self._faults.get(component, {})
        if error is not None:
            before = faults.get(of)
            fault = _Fault(_code(error), self._clock.now() if before is None else before.since, _message(error))
            if before is None:
                fields = {"action": "component_unhealthy", "component": component}
                logger.error("%s: %s", component, fault.message, extra=fields)
            self._faults.setdefault(component, {})[of] = fault
        elif faults.pop(of, None) is not None and not faults:
            del self._faults[component]
            logger.info("%s: healthy again", component, extra={"action": "component_recovered", "component": component})

    def report_crash(self, component: str) -> None:
        """Record a fault that lasts until the process starts again."""
        fault = _Fault("crashed", self._clock.now(), "crashed; the log says why; restart the process")
        self._faults.setdefault(component, {})["crash"] = fault

    def current(self) -> tuple[HealthProblem, ...]:
        """Return one problem for each component, with the number of its other faults."""
        return tuple(_problem(component, faults) for component, faults in sorted(self._faults.items()))


def _code(error: Exception) -> ProblemCode:
    if isinstance(error, ClockError):
        return "clock_in_doubt"
    if isinstance(error, BudgetReached):
        return "monthly_budget_reached"
    if isinstance(error, DamagedBlob):
        return "damaged_blob"
    if isinstance(error, ConfigurationError):
        return "configuration_error"
    if isinstance(error, UpstreamError):
        return "provider_failing"
    return "storage_error" if isinstance(error, StoreError | BlobError | OSError) else "internal_error"


def _message(error: Exception) -> str:
    """Describe an error for /health: without paths of this machine and without the content of requests."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__qualname__
    if isinstance(error, UpstreamError):  # its message may quote a request
        return f"the provider answers with {error.kind}" + (f" ({error.status})" if error.status else "")
    return str(error) if isinstance(error, LOGGABLE_ERRORS) else f"{loggable_text(error)}; the log says where"


def _problem(component: str, faults: dict[str, _Fault]) -> HealthProblem:
    first, more = next(iter(faults.values())), len(faults) - 1
    message = first.message + (f" (and {more} more like it)" if more else "")
    since = min(fault.since for fault in faults.values())
    return HealthProblem(code=first.code, component=component, since=since, message=message)
