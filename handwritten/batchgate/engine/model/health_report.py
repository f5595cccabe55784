"""How a process is, as it tells the others on its database, and what a gateway makes of what it is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Final

from msgspec import Struct

MOST: Final = 20
"""The most sentences that a process publishes of each kind: they are in each of its heartbeats."""
LONGEST: Final = 400
"""The most characters of one of them."""
NAMED: Final = 3
"""The most workers that are named as having the same problem."""


class HealthReport(Struct, frozen=True, kw_only=True):
    """What a process says of itself to the others; `bounded_report` makes one that is fit for it."""

    problems: tuple[str, ...] = ()
    """What is not well, a sentence each."""
    paused: Mapping[str, str] = {}
    """Accounts that requests wait for and that are paused, with the sentence that says why."""


HEALTHY: Final = HealthReport()


class WorkerHealth(Struct, frozen=True, kw_only=True):
    """Another process on the database, named by its member number: an open /health tells nothing of machines."""

    name: str
    report: HealthReport


def bounded_report(problems: Sequence[str], paused: Mapping[str, str]) -> HealthReport:
    """Bound what is said in number and length, and take out what no database could keep."""
    more = len(problems) - MOST
    said = tuple(_line(problem) for problem in problems[:MOST])
    return HealthReport(
        problems=(*said, f"{more} more, which its own /health says") if more > 0 else said,
        paused={account: _line(why) for account, why in islice(paused.items(), MOST)},
    )


def worker_problems(workers: Iterable[WorkerHealth]) -> tuple[str, ...]:
    """Say what is not well in workers, a sentence each; what several have is said once."""
    having: dict[str, list[str]] = {}
    for worker in workers:
        for problem in worker.report.problems:
            having.setdefault(problem, []).append(worker.name)
    return tuple(f"{_named(names)}: {problem}" for problem, names in having.items())


def pause_reason(workers: Iterable[WorkerHealth], accounts: Sequence[str]) -> str | None:
    """Tell why the first of some accounts is paused that is paused in any worker."""
    paused = (worker.report.paused.get(account) for account in accounts for worker in workers)
    return next((why for why in paused if why is not None), None)


def _named(workers: Sequence[str]) -> str:
    more = len(workers) - NAMED
    names = ", ".join(workers[:NAMED]) + (f" and {more} more" if more > 0 else "")
    return f"worker {names}" if len(workers) == 1 else f"workers {names}"


def _line(text: str) -> str:
    """Make one line of at most `LONGEST` characters; one that does not print, as a NUL, becomes a space."""
    line = "".join(character if character.isprintable() else " " for character in text[: LONGEST + 1])
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"
