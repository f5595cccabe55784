"""Health: the problems of a process, the pauses of accounts, and the report that a process shares with its cluster."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Final, Literal, TypeAlias, TypeVar

from msgspec import Struct, structs

from batchgate.engine.model.call_history import CallHistory
from batchgate.engine.model.errors import ErrorKind
from batchgate.engine.model.model_load import AccountLoad, ModelLoad, combined_loads

Kept = TypeVar("Kept")

MAX_PROBLEMS: Final = 20
"""The most problems, and the most paused accounts, in one report: every heartbeat carries it."""
MAX_LENGTH: Final = 400
"""The most characters of one message in a report."""
MAX_LOADS: Final = 5
"""The most models of one batch, or of one account, in a report."""
MAX_NAMED: Final = 3
"""The most workers that are named as having the same problem."""

PauseCode: TypeAlias = Literal[
    "key_rejected", "payment_required", "permission_denied", "unreachable", "provider_failing", "rate_limited"
]
"""Why no or few requests are sent to an account, or to one model of it."""

ProblemCode: TypeAlias = Literal[
    "stopping",
    "no_worker",
    "storage_error",
    "damaged_blob",
    "internal_error",
    "clock_in_doubt",
    "configuration_error",
    "monthly_budget_reached",
    "crashed",
    "more_problems",
    PauseCode,
]
"""What kind of problem it is, for programs."""


class HealthProblem(Struct, frozen=True, kw_only=True):
    """One problem of a process."""

    code: ProblemCode
    component: str
    """The part that has it, such as ``results``, ``queue`` or ``account/NAME``."""
    since: int
    """When it began, in microseconds since the epoch."""
    message: str

    @property
    def part(self) -> str:
        """The kind of part, such as ``account``, without names that operators or callers chose."""
        return self.component.partition("/")[0]


class AccountPause(Struct, frozen=True, kw_only=True):
    """Why requests for an account, or for one model of it, wait."""

    code: PauseCode
    component: str
    """``account/NAME`` or ``account/NAME/MODEL``."""
    since: int
    """When the pause began, in microseconds since the epoch."""
    reason: str

    @property
    def account(self) -> str:
        """The name of the account."""
        return self.component.split("/", 2)[1]

    @property
    def problem(self) -> HealthProblem:
        """The pause as a problem of the process."""
        return HealthProblem(code=self.code, component=self.component, since=self.since, message=self.reason)


class Refusal(Struct, frozen=True, kw_only=True):
    """An error of a provider after which a request waits for another call."""

    kind: ErrorKind
    status: int
    """The HTTP status; 0 without a response."""
    message: str
    """The provider's message on one line, without keys, of bounded length."""
    account: str
    model: str
    at: int
    """When it came, in microseconds since the epoch."""


class BatchWait(Struct, frozen=True, kw_only=True):
    """Why requests of a batch wait."""

    paused: AccountPause | None = None
    """The pause of an account or model that they wait for."""
    refusal: Refusal | None = None
    """The latest error of a request that waits for another call."""
    loads: tuple[ModelLoad, ...] = ()
    """The calls to the models that its requests are for."""


class HealthReport(Struct, frozen=True, kw_only=True):
    """What a process reports to its cluster; `bounded_report` makes one that fits a heartbeat."""

    problems: tuple[HealthProblem, ...] = ()
    paused: Mapping[str, AccountPause] = {}
    """Paused accounts that requests wait for, by name."""
    waiting: Mapping[int, BatchWait] = {}
    """Batches that run here, by their key."""
    accounts: Mapping[str, AccountLoad] = {}
    """The accounts that were used here lately, by name."""
    history: CallHistory = CallHistory()
    """What the calls here have shown."""


HEALTHY: Final = HealthReport()


class WorkerHealth(Struct, frozen=True, kw_only=True):
    """Another process with a worker, named by its member number: an open /health names no machines."""

    name: str
    report: HealthReport


def bounded_report(
    problems: Sequence[HealthProblem],
    paused: Mapping[str, AccountPause],
    waiting: Mapping[int, BatchWait] | None = None,
    accounts: Mapping[str, AccountLoad] | None = None,
    history: CallHistory | None = None,
) -> HealthReport:
    """Limit a report in number and length, and replace what a database cannot store."""
    return HealthReport(
        problems=bounded_problems(problems),
        paused={name: _bounded_pause(pause) for name, pause in islice(paused.items(), MAX_PROBLEMS)},
        waiting={key: _bounded_wait(wait) for key, wait in islice((waiting or {}).items(), MAX_PROBLEMS)},
        accounts={name: _bounded_account(load) for name, load in islice((accounts or {}).items(), MAX_PROBLEMS)},
        history=CallHistory() if history is None else _bounded_history(history),
    )


def bounded_problems(problems: Sequence[HealthProblem]) -> tuple[HealthProblem, ...]:
    """Limit problems in number and length: they may quote names that callers choose."""
    kept = tuple(
        structs.replace(each, component=one_line(each.component), message=one_line(each.message))
        for each in problems[:MAX_PROBLEMS]
    )
    return (*kept, *_more_problems(problems[MAX_PROBLEMS:]))


def one_line(text: str) -> str:
    """Cut a text to `MAX_LENGTH` characters on one line; a character that does not print becomes a space."""
    line = "".join(character if character.isprintable() else " " for character in text[: MAX_LENGTH + 1])
    return line if len(line) <= MAX_LENGTH else f"{line[: MAX_LENGTH - 1]}…"


def worker_problems(workers: Iterable[WorkerHealth]) -> tuple[HealthProblem, ...]:
    """List the problems of workers, each with the workers that have it; one that several have is listed once."""
    found: dict[tuple[str, str, str], list[tuple[str, HealthProblem]]] = {}
    for worker in workers:
        for problem in worker.report.problems:
            key = (problem.code, problem.component, problem.message)
            found.setdefault(key, []).append((worker.name, problem))
    return tuple(_shared_problem(having) for having in found.values())


def find_batch_wait(workers: Iterable[WorkerHealth], batch_key: int) -> BatchWait:
    """Combine what workers report of a batch: the first pause, the latest refusal, and all calls."""
    waits = [wait for worker in workers if (wait := worker.report.waiting.get(batch_key)) is not None]
    refusals = (wait.refusal for wait in waits if wait.refusal is not None)
    return BatchWait(
        paused=next((wait.paused for wait in waits if wait.paused is not None), None),
        refusal=max(refusals, key=lambda refusal: refusal.at, default=None),
        loads=combined_loads(load for wait in waits for load in wait.loads),
    )


def find_account_pause(workers: Iterable[WorkerHealth], accounts: Sequence[str]) -> AccountPause | None:
    """Return the pause of the first of some accounts that any worker has paused."""
    workers = tuple(workers)
    pauses = (worker.report.paused.get(account) for account in accounts for worker in workers)
    return next((pause for pause in pauses if pause is not None), None)


def _more_problems(left_out: Sequence[HealthProblem]) -> tuple[HealthProblem, ...]:
    if not left_out:
        return ()
    since = min(problem.since for problem in left_out)
    message = f"{len(left_out)} more problems; the log lists them"
    return (HealthProblem(code="more_problems", component="process", since=since, message=message),)


def _shared_problem(having: Sequence[tuple[str, HealthProblem]]) -> HealthProblem:
    names = [name for name, _ in having]
    _, problem = having[0]
    since = min(problem.since for _, problem in having)
    return structs.replace(problem, since=since, message=f"{_named(names)}: {problem.message}")


def _named(workers: Sequence[str]) -> str:
    more = len(workers) - MAX_NAMED
    names = ", ".join(workers[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
    return f"worker {names}" if len(workers) == 1 else f"workers {names}"


def _bounded_pause(pause: AccountPause) -> AccountPause:
    return structs.replace(pause, component=one_line(pause.component), reason=one_line(pause.reason))


def _bounded_wait(wait: BatchWait) -> BatchWait:
    paused, refusal = wait.paused, wait.refusal
    if paused is not None:
        paused = _bounded_pause(paused)
    if refusal is not None:
        fields = {name: one_line(getattr(refusal, name)) for name in ("message", "account", "model")}
        refusal = structs.replace(refusal, **fields)
    return BatchWait(paused=paused, refusal=refusal, loads=_bounded_loads(wait.loads))


def _bounded_account(load: AccountLoad) -> AccountLoad:
    return structs.replace(load, models=_bounded_loads(load.models))


def _bounded_history(history: CallHistory) -> CallHistory:
    """Limit a history in number; names that are not kept as they are would never be found."""
    tokens = {account: _first(models, MAX_LOADS) for account, models in _first(history.tokens, MAX_PROBLEMS).items()}
    return CallHistory(seconds=_first(history.seconds, MAX_PROBLEMS), tokens=tokens)


def _first(found: Mapping[str, Kept], limit: int) -> dict[str, Kept]:
    return dict(islice(((name, kept) for name, kept in found.items() if one_line(name) == name), limit))


def _bounded_loads(loads: Sequence[ModelLoad]) -> tuple[ModelLoad, ...]:
    return tuple(
        structs.replace(load, account=one_line(load.account), model=one_line(load.model)) for load in loads[:MAX_LOADS]
    )
