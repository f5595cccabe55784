"""The table of a benchmark run: what was measured, what it is held against, and whether it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Row:
    """One figure and its mark."""

    what: str
    value: float
    unit: str
    bound: Literal["at least", "at most"]
    mark: float
    note: str = ""
    """How the figure came about: the runs behind a median, the floor behind a ratio."""

    @property
    def holds(self) -> bool:
        """Whether the figure meets its mark."""
        return self.value >= self.mark if self.bound == "at least" else self.value <= self.mark


def print_table(rows: Sequence[Row]) -> None:
    """Print the rows as a Markdown table."""
    print("\n| what | measured | mark | holds | how |\n| --- | --- | --- | --- | --- |")
    for row in rows:
        measured = f"{row.value:.2f} {row.unit}".strip()
        mark = f"{row.bound} {row.mark:g} {row.unit}".strip()
        print(f"| {row.what} | {measured} | {mark} | {'yes' if row.holds else 'NO'} | {row.note} |")
