"""The health of a process, as `/health` shows it."""

from __future__ import annotations

from typing import Literal

from batchgate.engine.engine import Engine
from batchgate.engine.model.health_report import HealthProblem
from batchgate.engine.model.times import rfc3339
from batchgate_api import gateway


def health_view(engine: Engine, role: Literal["both", "gateway", "worker"], version: str) -> gateway.Health:
    """Return the health of the process that an engine runs in."""
    problems = engine.problems
    return gateway.Health(
        status="degraded" if problems else "ok",
        components=sorted({problem.part for problem in problems}),
        version=version,
        role=role,
        member=engine.cluster.member,
        workers=engine.cluster.workers,
        accounts=list(engine.router.account_names),
        requests_in_flight=engine.router.in_flight,
        problems=[_health_problem(problem) for problem in problems],
    )


def _health_problem(problem: HealthProblem) -> gateway.HealthProblem:
    return gateway.HealthProblem(
        code=problem.code, component=problem.component, since=rfc3339(problem.since), message=problem.message
    )
