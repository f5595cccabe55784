"""Reports how a batch ended: a table of its failures, then one line with counts, cost, duration and what to do next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import click

from batchgate.cli.connection import Connection
from batchgate.cli.duration import duration
from batchgate.cli.failures import INCOMPLETE_STATUS
from batchgate.cli.output_file import STANDARD_OUTPUT
from batchgate.cli.rendering import VALIDATION_FAILED, cut, dollars
from batchgate.cli.terminal_table import is_terminal, print_table
from batchgate.cli.terminal_text import say
from batchgate_api.anthropic import MessageBatch
from batchgate_api.gateway import BatchProgress, FailureGroup

HEADINGS: Final = ("COUNT", "KIND", "MESSAGE", "FIRST IDS")
MOST_GROUPS: Final = 10
"""Groups in the table; `show --json` has the rest."""
MESSAGE_WIDTH: Final = 80
TERMINAL_MESSAGE_WIDTH: Final = 320
"""Characters of a message where a terminal folds it."""
SHOWN_IDS: Final = 3
ID_WIDTH: Final = 24
"""Maximum number of characters of an id in the table."""
OTHERS: Final = "(other messages)"


def report_end(
    context: click.Context, connection: Connection, batch: MessageBatch, progress: BatchProgress, target: Path | None
) -> None:
    """Report on stderr how a batch ended, and exit with `INCOMPLETE_STATUS` if not all its requests succeeded.

    ``target`` is where its results were written, if they were.
    """
    print_failures(progress.failures, err=True)
    say(end_line(connection, batch, progress, target), err=True)
    if progress.status == "failed" or progress.succeeded < progress.total:
        context.exit(INCOMPLETE_STATUS)


def end_line(connection: Connection, batch: MessageBatch, progress: BatchProgress, target: Path | None) -> str:
    """Return what became of the requests, the cost, the duration, and where the results are."""
    if progress.status == "failed":
        return f"{batch.id} failed: {VALIDATION_FAILED}"
    span = None if batch.ended_at is None else _seconds(batch.created_at, batch.ended_at)
    return f"{end_facts(progress, span)}.{_next_steps(connection, batch, progress, target)}"


def end_facts(progress: BatchProgress, span: float | None) -> str:
    """Return what became of the requests, the cost, and how many seconds that took."""
    facts = [_counts(progress)]
    if progress.reused:
        facts.append(f"{progress.reused:,} reused")
    spent = progress.spent.direct_usd + progress.spent.native_usd
    if spent:
        facts.append(dollars(spent))
    if span is not None:
        facts.append(duration(span))
    return ", ".join(facts)


def _seconds(begun: str, ended: str) -> float:
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(begun)).total_seconds()


def _counts(progress: BatchProgress) -> str:
    failed = progress.total - progress.succeeded
    if not failed:
        return "The request succeeded" if progress.total == 1 else f"All {progress.total:,} requests succeeded"
    return f"{progress.succeeded:,} of {progress.total:,} requests succeeded, {failed:,} did not ({_by_kind(progress)})"


def _by_kind(progress: BatchProgress) -> str:
    """Return the counts of the failures by kind; those that are in no group are named by their result."""
    kinds = Counter[str]()
    for group in progress.failures:
        kinds[group.kind] += group.count
    results = {"expired": progress.expired, "canceled": progress.canceled}
    for kind, count in results.items():
        kinds[kind] = count
    kinds["errored"] = progress.errored - sum(kinds.values()) + sum(results.values())
    return ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common() if count > 0)


def _next_steps(connection: Connection, batch: MessageBatch, progress: BatchProgress, target: Path | None) -> str:
    results = connection.command("results", batch.id)
    place = f" Results: {results if target is None else target}" if target != STANDARD_OUTPUT else ""
    if progress.succeeded == progress.total:
        return place
    return f"{place}{';' if place else ''} to retry the others: {connection.command('retry', batch.id)}"


def print_failures(groups: Sequence[FailureGroup], *, err: bool = False) -> None:
    """Print the groups of failures as a table; nothing if there are none."""
    if not groups:
        return
    width = TERMINAL_MESSAGE_WIDTH if is_terminal(err=err) else MESSAGE_WIDTH
    rows = ((f"{group.count:,}", group.kind, _message(group, width), _ids(group)) for group in groups[:MOST_GROUPS])
    print_table(HEADINGS, rows, right={"COUNT"}, err=err)
    if len(groups) > MOST_GROUPS:
        say(f"and {len(groups) - MOST_GROUPS} more groups", err=err)


def _message(group: FailureGroup, width: int) -> str:
    return OTHERS if group.message is None else cut(group.message, width)


def _ids(group: FailureGroup) -> str:
    shown = [cut(custom_id, ID_WIDTH) for custom_id in group.custom_ids[:SHOWN_IDS]]
    return ", ".join(shown) + (", …" if group.count > len(shown) else "")
