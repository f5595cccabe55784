"""Reports how a run ended, whose rows were one batch or several."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click
from msgspec import Struct, structs

from batchgate.cli.connection import Connection
from batchgate.cli.failures import INCOMPLETE_STATUS
from batchgate.cli.output_file import STANDARD_OUTPUT
from batchgate.cli.run_report import end_facts, print_failures
from batchgate.cli.terminal_text import say
from batchgate_api.anthropic import MessageBatch
from batchgate_api.gateway import BatchProgress, BatchSpend, FailureGroup


class RunResult(Struct, frozen=True, kw_only=True):
    """How a run ended, for programs."""

    batches: Sequence[str]
    answers: str
    """The file with the answers."""
    total: int
    succeeded: int
    errored: int
    canceled: int
    expired: int
    reused: int
    cost_usd: float
    """What the answers cost whose price is known."""
    unpriced: int
    """Answers whose price is not known."""
    seconds: float | None
    """From the creation of the first batch to the end of the last."""


def run_result(batches: Sequence[MessageBatch], counts: Sequence[BatchProgress], target: Path) -> RunResult:
    """Return how a run ended whose answers are in a file."""
    total = summed(counts)
    return RunResult(
        batches=[batch.id for batch in batches],
        answers=str(target),
        total=total.total,
        succeeded=total.succeeded,
        errored=total.errored,
        canceled=total.canceled,
        expired=total.expired,
        reused=total.reused,
        cost_usd=total.spent.direct_usd + total.spent.native_usd,
        unpriced=total.spent.unpriced,
        seconds=_span(batches),
    )


def report_run(
    context: click.Context,
    connection: Connection,
    batches: Sequence[MessageBatch],
    counts: Sequence[BatchProgress],
    target: Path,
) -> None:
    """Print failures and the line of the end on stderr; exit with `INCOMPLETE_STATUS` if not all rows have answers."""
    total = summed(counts)
    print_failures(total.failures, err=True)
    place = "" if target == STANDARD_OUTPUT else f" Answers: {target}"
    say(f"{end_facts(total, _span(batches))}.{place}{_retries(connection, counts)}", err=True)
    if total.succeeded < total.total:
        context.exit(INCOMPLETE_STATUS)


def summed(counts: Sequence[BatchProgress]) -> BatchProgress:
    """Return the counts, the spend and the failures of several batches as if they were one."""
    spends = [batch.spent for batch in counts]
    numbers = ("total", "succeeded", "errored", "canceled", "expired", "reused")
    money = ("direct_usd", "native_usd", "saved_usd", "unpriced")
    return structs.replace(
        counts[0],
        **{name: sum(getattr(batch, name) for batch in counts) for name in numbers},
        spent=BatchSpend(**{name: sum(getattr(spend, name) for spend in spends) for name in money}),
        failures=_together([group for batch in counts for group in batch.failures]),
    )


def _together(groups: Sequence[FailureGroup]) -> list[FailureGroup]:
    """Add up the groups of the same failure; the largest come first."""
    found: dict[tuple[str, str | None], FailureGroup] = {}
    for group in groups:
        key = (group.kind, group.message)
        first = found.get(key)
        found[key] = group if first is None else structs.replace(first, count=first.count + group.count)
    return sorted(found.values(), key=lambda group: -group.count)


def _span(batches: Sequence[MessageBatch]) -> float | None:
    """Return the seconds from the creation of the first batch to the end of the last."""
    ends = [datetime.fromisoformat(batch.ended_at) for batch in batches if batch.ended_at is not None]
    begun = min(datetime.fromisoformat(batch.created_at) for batch in batches)
    return (max(ends) - begun).total_seconds() if ends else None


def _retries(connection: Connection, counts: Sequence[BatchProgress]) -> str:
    unfinished = [batch.id for batch in counts if batch.succeeded < batch.total]
    if not unfinished:
        return ""
    commands = "; ".join(connection.command("retry", batch_id, "--wait") for batch_id in unfinished)
    return f". To retry the others: {commands}; then the same run again writes their answers too"
