"""Handwritten Python files and functions stay short."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]
MAX_FILE_LINES: Final = 400
MAX_FUNCTION_LINES: Final = 60
SHORT_FUNCTION_LINES: Final = 20
SHORT_FUNCTIONS: Final = 0.9
"""The part of all functions that must have at most ``SHORT_FUNCTION_LINES``."""
LONG_FILES: Final = {
    "tests/integration/contracts/test_store.py",
    "tests/integration/contracts/test_tenants.py",
    "tests/integration/test_bad_unified_batches.py",
    "tests/unit/providers/test_simulator.py",
}
"""Files over the limit that are still to be split: remove each from this list when it is short enough."""


class Function(NamedTuple):
    """A function with its place and its number of lines, without decorators."""

    place: str
    lines: int


def handwritten_files() -> Iterator[Path]:
    """Yield all Python files but the generated ones and the schema migrations, which never change."""
    for folder in ("handwritten", "tests"):
        yield from (path for path in sorted((ROOT / folder).rglob("*.py")) if "migrations" not in path.parts)
    yield ROOT / "noxfile.py"


def functions_of(path: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            place = f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
            yield Function(place, node.end_lineno - node.lineno + 1)


FILES: Final = [*handwritten_files()]
FUNCTIONS: Final = [function for path in FILES for function in functions_of(path)]


def test_files_have_at_most_400_lines() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in FILES}
    long_files = {name: lines for name, lines in lengths.items() if lines > MAX_FILE_LINES}
    assert long_files.keys() == LONG_FILES, f"split these files: {long_files}, exceptions: {sorted(LONG_FILES)}"


def test_functions_have_at_most_60_lines() -> None:
    long_functions = [f"{place}: {lines} lines" for place, lines in FUNCTIONS if lines > MAX_FUNCTION_LINES]
    assert not long_functions, "\n".join(["split these functions:", *long_functions])


def test_90_percent_of_the_functions_have_at_most_20_lines() -> None:
    short = sum(function.lines <= SHORT_FUNCTION_LINES for function in FUNCTIONS)
    assert short / len(FUNCTIONS) >= SHORT_FUNCTIONS
