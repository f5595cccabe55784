"""Bars that show how far batches are, one for each, drawn again in place on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TextIO, TypeAlias

import click

from batchgate.cli.forecast_text import short_forecast
from batchgate.cli.terminal_text import printable
from batchgate_api.gateway import BatchProgress, BatchSummary

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

Counts: TypeAlias = BatchProgress | BatchSummary
Draw: TypeAlias = Callable[[Sequence[Counts]], None]
"""Shows these batches."""

WIDTH: Final = 24
"""Characters of a bar."""
LARGEST_NAME: Final = 34


@contextmanager
def progress_bars(label: str, file: TextIO) -> Iterator[Draw]:
    """Yield what draws the bars; where there is no terminal, the label is all that is printed."""
    if not file.isatty():
        click.echo(label, file=file)
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415 - only terminals need it
    from rich.live import Live  # noqa: PLC0415 - as above

    console = Console(file=file, highlight=False, markup=False, emoji=False)
    full = "━" if console.encoding.startswith("utf") else "#"
    with Live(console=console, auto_refresh=False) as live:
        yield lambda batches: live.update(_bars(label, batches, full), refresh=True)


def finished(batch: Counts) -> int:
    """Count the requests that have a result."""
    return batch.succeeded + batch.errored + batch.canceled + batch.expired


def _bars(label: str, batches: Sequence[Counts], full: str) -> Table:
    """Return a line for each batch: its name, its bar, its counts, its rate and the time left."""
    from rich.table import Table  # noqa: PLC0415 - only terminals need it
    from rich.text import Text  # noqa: PLC0415 - as above

    table = Table.grid(padding=(0, 1))
    for justify in ("left", "left", "right", "left"):
        table.add_column(justify=justify)
    for batch in batches:
        name = label if len(batches) == 1 else printable(batch.name or batch.id)[:LARGEST_NAME]
        counts = f"{finished(batch):,}/{batch.total:,}"
        table.add_row(Text(name), _bar(batch, full), Text(counts), _state(batch))
    return table


def _bar(batch: Counts, full: str) -> Text:
    """Return a bar with the part that succeeded in green, and in red what has another result."""
    from rich.text import Text  # noqa: PLC0415 - only terminals need it

    done = _part(finished(batch), batch.total)
    good = min(done, _part(batch.succeeded, batch.total))
    return Text.assemble((full * good, "green"), (full * (done - good), "red"), (full * (WIDTH - done), "dim"))


def _part(number: int, total: int) -> int:
    return WIDTH * number // total if total else 0


def _state(batch: Counts) -> Text:
    """Return what else is worth a look: failures, a pause, the rate, and the time left."""
    from rich.text import Text  # noqa: PLC0415 - only terminals need it

    failed = finished(batch) - batch.succeeded
    parts = (
        (f"{failed:,} failed", "red") if failed else None,
        ("paused", "yellow") if batch.paused is not None else None,
        (text, "") if (text := short_forecast(batch.forecast)) else None,
    )
    return Text("  ").join(Text(text, style=style) for text, style in filter(None, parts))
