"""One line of a terminal that shows how far batches are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO, TypeAlias

import click

from batchgate.cli.forecast_text import short_forecast
from batchgate_api.gateway import BatchProgress, BatchSummary

Counts: TypeAlias = BatchProgress | BatchSummary
Draw: TypeAlias = Callable[[Sequence[Counts]], None]
"""Shows the requests of these batches together."""


@contextmanager
def progress_bar(label: str, file: TextIO) -> Iterator[Draw]:
    """Show a bar, and yield what draws it again; where there is no terminal, the label is all that is printed."""
    with click.progressbar(
        length=0,
        label=label,
        show_pos=True,
        show_eta=False,  # the gateway knows better, from the time before this command began too
        item_show_func=_forecast,
        width=24,
        file=file,
    ) as bar:

        def draw(batches: Sequence[Counts]) -> None:
            bar.length = sum(batch.total for batch in batches)
            bar.finished = False  # another batch may have begun since
            bar.current_item = batches
            bar.update(sum(map(finished, batches)) - bar.pos)
            bar.render_progress()

        yield draw


def finished(batch: Counts) -> int:
    """Count the requests that have a result."""
    return batch.succeeded + batch.errored + batch.canceled + batch.expired


def _forecast(batches: Sequence[Counts] | None) -> str | None:
    """Return the end of the line."""
    if batches is None:
        return None
    if len(batches) == 1:
        return short_forecast(batches[0].forecast)
    rate = sum(batch.forecast.requests_per_second for batch in batches if batch.forecast is not None)
    return f"{len(batches)} batches" + (f", {rate:,.1f}/s" if rate else "")
