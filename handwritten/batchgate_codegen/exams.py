"""Finds out from the marks of tests what each provider was tested against, besides its simulator.

The tests are parsed, not imported: the SDKs that they need are not installed where the pages are made.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, TypeAlias

from msgspec import Struct

Lane: TypeAlias = Literal["direct", "native"]
"""The way of the calls that were tested: the normal API of a provider, or its batch API."""

TESTS: Final = Path("tests", "acceptance")
SDK_EXAM: Final = "sdk_exam"
"""The mark of a test in which an official SDK, unchanged, drives the simulator of a provider."""
REAL_SERVER: Final = "real_server"
"""The mark of a test in which Batchgate calls a real server by an account of a provider."""


class Exam(Struct, frozen=True, kw_only=True):
    """What a test has shown of one provider."""

    mark: str
    """`SDK_EXAM` or `REAL_SERVER`."""
    provider: str
    lane: Lane
    subject: str
    """The package of the SDK, or the name of the server."""
    path: Path
    line: int


def find_exams(root: Path) -> list[Exam]:
    """Read the marks of all acceptance tests of a checkout."""
    return [exam for path in sorted((root / TESTS).glob("test_*.py")) for exam in _exams_of(path)]


def _exams_of(path: Path) -> Iterator[Exam]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            mark = ast.unparse(node.func).removeprefix("pytest.mark.")
            if mark in {SDK_EXAM, REAL_SERVER}:
                yield from _exams_of_mark(path, mark, node)


def _exams_of_mark(path: Path, mark: str, call: ast.Call) -> Iterator[Exam]:
    """Read ``sdk_exam("PROVIDER", ..., lane="LANE", sdk="PACKAGE")``; a real server is ``server="NAME"``."""
    named = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    subject = named["sdk" if mark == SDK_EXAM else "server"]
    for provider in map(ast.literal_eval, call.args):
        yield Exam(mark=mark, provider=provider, lane=named["lane"], subject=subject, path=path, line=call.lineno)
