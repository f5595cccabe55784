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
    lengths = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in FILES}
    long_files = [f"{path}: {lines} lines" for path, lines in lengths.items() if lines > MAX_FILE_LINES]
    assert not long_files, "\n".join(["split these files:", *long_files])


def test_functions_have_at_most_60_lines() -> None:
    long_functions = [f"{place}: {lines} lines" for place, lines in FUNCTIONS if lines > MAX_FUNCTION_LINES]
    assert not long_functions, "\n".join(["split these functions:", *long_functions])


def test_90_percent_of_the_functions_have_at_most_20_lines() -> None:
    short = sum(function.lines <= SHORT_FUNCTION_LINES for function in FUNCTIONS)
    assert short / len(FUNCTIONS) >= SHORT_FUNCTIONS
