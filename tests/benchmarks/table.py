"""The table of a benchmark run: each measured value, its target, and whether it meets the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Row:
    """A measured value and its target."""

    name: str
    value: float
    unit: str
    bound: Literal["at least", "at most"]
    target: float
    note: str = ""
    """Where the value comes from: the runs of a median, the baseline of a ratio."""

    @property
    def meets_target(self) -> bool:
        """Whether the value meets its target."""
        return self.value >= self.target if self.bound == "at least" else self.value <= self.target


def print_table(rows: Sequence[Row]) -> None:
    """Print the rows as a Markdown table."""
    print("\n| benchmark | measured | target | met | details |\n| --- | --- | --- | --- | --- |")
    for row in rows:
        measured = f"{row.value:.2f} {row.unit}".strip()
        target = f"{row.bound} {row.target:g} {row.unit}".strip()
        print(f"| {row.name} | {measured} | {target} | {'yes' if row.meets_target else 'NO'} | {row.note} |")
