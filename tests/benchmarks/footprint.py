"""The footprint of the gateway: start time, idle memory, and installed size."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from tests.benchmarks.table import Row
from tests.support.gateway_process import GatewayProcess

MEGABYTE = 1_000_000
STARTS = 5
INSTALLED_SIZE = 37.2
"""Megabytes without bytecode: 2 more than before the native lanes of other providers than OpenAI's and Anthropic's."""


def footprint() -> Iterator[Row]:
    """Measure starts and memory of five processes, and the size of the files that the installer recorded."""
    starts, memory = [], []
    for _ in range(STARTS):
        with TemporaryDirectory() as folder:
            begun = time.perf_counter()
            with GatewayProcess(data_dir=Path(folder)) as gateway:
                starts.append(time.perf_counter() - begun)
                memory.append(psutil.Process(gateway.pid).memory_info().rss / MEGABYTE)
    runs = ", ".join(f"{start:.2f}" for start in starts)
    yield Row("cold start to listening", statistics.median(starts), "s", "at most", 1.5, f"median of {runs}")
    yield Row("idle memory (RSS)", statistics.median(memory), "MB", "at most", 80, f"median of {STARTS} starts")
    sizes = {name: _size(name) / MEGABYTE for name in sorted(_with_dependencies("batchgate"))}
    largest = sorted(sizes, key=lambda name: -sizes[name])[:3]
    note = f"{len(sizes)} distributions, largest: " + ", ".join(f"{name} {sizes[name]:.1f}" for name in largest)
    name = "installed size with dependencies, without bytecode"
    yield Row(name, sum(sizes.values()), "MB", "at most", INSTALLED_SIZE, note)


def _with_dependencies(name: str) -> set[str]:
    """Return a distribution and all its installed dependencies, without extras."""
    found: set[str] = set()
    pending = [name]
    while pending:
        current = pending.pop()
        try:
            requirements = distribution(current).requires or []
        except PackageNotFoundError:
            continue
        if current in found:
            continue
        found.add(current)
        pending += [re.split(r"[ ;<>=!~\[(]", text)[0].lower() for text in requirements if "extra ==" not in text]
    return found


def _size(name: str) -> int:
    """Return the bytes of a distribution's files but bytecode, which some installers record and others do not."""
    paths = (Path(str(file.locate())) for file in distribution(name).files or [] if file.suffix != ".pyc")
    return sum(path.stat().st_size for path in paths if path.is_file())
