"""Tables: aligned text, or on a terminal a table that fits its width, with coloured states."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from batchgate.cli.terminal_text import printable, say

if TYPE_CHECKING:
    from rich.console import Console

STYLES: Final[Mapping[str, str]] = {
    "ok": "green",
    "ended": "green",
    "delivered": "green",
    "validating": "cyan",
    "in_progress": "cyan",
    "finalizing": "cyan",
    "canceling": "yellow",
    "paused": "yellow",
    "partly_paused": "yellow",
    "warning": "yellow",
    "failed": "red",
}
"""The colour of a cell that says a state."""


NAME_WIDTH: Final = 10
"""The width of the names of facts where no terminal is."""


def print_table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Collection[str] = (),
    cut: Collection[str] = (),
    layout: str | None = None,
    err: bool = False,
) -> None:
    """Print rows under their headings on stdout or stderr; ``right`` names the columns of numbers.

    A narrow terminal shows the beginning of the columns ``cut``, and folds others, but for ids, states and numbers.
    ``layout`` is the format of the lines where no terminal is; without it, columns are as wide as their widest cell.
    """
    if is_terminal(err=err):
        _print_fitted(headings, rows, right, cut, err=err)
        return
    lines = aligned(headings, rows, right) if layout is None else (layout.format(*row) for row in (headings, *rows))
    for line in lines:
        say(line, err=err)


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Print named facts on stdout, one a line; on a terminal, long ones go on below themselves."""
    if not is_terminal():
        for name, text in facts:
            say(f"{name:<{NAME_WIDTH}}{text}")
        return
    from rich.table import Table  # noqa: PLC0415 - only terminals need it
    from rich.text import Text  # noqa: PLC0415 - as above

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, text in facts:
        table.add_row(name, Text(printable(text), style=STYLES.get(text, "")))
    terminal().print(table)


def aligned(headings: Sequence[str], rows: Iterable[Sequence[str]], right: Collection[str] = ()) -> Iterator[str]:
    """Return the lines of a table whose columns are as wide as their widest cell."""
    table = [headings, *rows]
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    for row in table:
        cells = zip(row, widths, headings, strict=True)
        padded = [cell.rjust(width) if heading in right else cell.ljust(width) for cell, width, heading in cells]
        yield "  ".join(padded).rstrip()


def is_terminal(*, err: bool = False) -> bool:
    """Check whether stdout, or stderr, is a terminal."""
    return (sys.stderr if err else sys.stdout).isatty()


def terminal(*, err: bool = False) -> Console:
    """Return the terminal as rich knows it: its width, and whether it has colours (not with NO_COLOR)."""
    from rich.console import Console  # noqa: PLC0415 - it takes 70 ms, and only terminals need it

    return Console(stderr=err, highlight=False, markup=False, emoji=False)


def _print_fitted(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    right: Collection[str],
    cut: Collection[str],
    *,
    err: bool,
) -> None:
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in headings:
        is_right, is_whole = heading in right, heading in {"ID", "STATUS", "STATE", *right}
        table.add_column(heading, justify="right" if is_right else "left", no_wrap=is_whole, overflow="fold")
    for row in rows:
        cells = [Text(printable(cell), style=STYLES.get(cell, "")) for cell in row]
        for heading, cell in zip(headings, cells, strict=True):
            if heading in cut:
                cell.no_wrap, cell.overflow = True, "ellipsis"
        table.add_row(*cells)
    terminal(err=err).print(table)
