"""``python -m tests.benchmarks [NAME ...]``: run all or the named benchmarks and print one table."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping

from tests.benchmarks.dashboard import dashboard
from tests.benchmarks.direct import direct
from tests.benchmarks.fairness import fairness
from tests.benchmarks.footprint import footprint
from tests.benchmarks.input_files import input_files
from tests.benchmarks.intake import intake
from tests.benchmarks.listing import listing
from tests.benchmarks.native import native
from tests.benchmarks.rate_limited import rate_limited
from tests.benchmarks.reads import reads
from tests.benchmarks.restart import restart
from tests.benchmarks.results import results
from tests.benchmarks.scaled import scaled
from tests.benchmarks.stall import stall
from tests.benchmarks.table import Row, print_table
from tests.benchmarks.telemetry import telemetry

BENCHMARKS: Mapping[str, Callable[[], Iterator[Row]]] = {
    "footprint": footprint,
    "direct": direct,
    "intake": intake,
    "input_files": input_files,
    "rate_limited": rate_limited,
    "results": results,
    "dashboard": dashboard,
    "listing": listing,
    "reads": reads,
    "fairness": fairness,
    "stall": stall,
    "native": native,
    "restart": restart,
    "telemetry": telemetry,
    "scaled": scaled,
}


def main(names: list[str]) -> int:
    """Run the benchmarks and print the table; return 1 when a row misses its target, 2 for an unknown name."""
    unknown = set(names) - BENCHMARKS.keys()
    if unknown:
        print(f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
        return 2
    rows = [row for name, benchmark in BENCHMARKS.items() if not names or name in names for row in benchmark()]
    print_table(rows)
    return 0 if all(row.meets_target for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
