"""Templates of prompts: ``{column}`` stands for the value of a column, ``{{`` and ``}}`` for braces."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Final

from batchgate_streams.errors import UnusableRow

MOST_NAMED: Final = 20
"""Columns that an error names."""
_PARTS: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_ESCAPE: Final = "write {{ and }} for braces, also in JSON"


class PromptTemplate:
    """A text with places for columns; raises ValueError for a single brace."""

    def __init__(self, text: str) -> None:
        self._literals: list[str] = []
        self._columns: list[str] = []
        literal, end = "", 0
        for found in _PARTS.finditer(text):
            literal, end = literal + text[end : found.start()], found.end()
            if found[0] in {"{{", "}}"}:
                literal += found[0][0]
            elif found[1] is None:
                place = f"the {found[0]} at character {found.start() + 1} of the template"
                raise ValueError(f"{place} has no counterpart; {_ESCAPE}")
            else:
                self._literals.append(literal)
                self._columns.append(found[1])
                literal = ""
        self._last = literal + text[end:]

    def fill(self, row: Mapping[str, Any]) -> str:
        """Return the text for a row; raises `UnusableRow` if it lacks a column."""
        parts: list[str] = []
        for literal, column in zip(self._literals, self._columns, strict=True):
            if column not in row:
                unknown = _unknown(column, [*map(str, row)])
                raise UnusableRow(f"{{{column}}}: {unknown}; {_ESCAPE}")
            parts += (literal, text_of(row[column]))
        return "".join((*parts, self._last))


def text_of(value: object) -> str:
    """Return a value as text: a text as it is, nothing for None and NaN, a time by ISO 8601, JSON for anything else."""
    if isinstance(value, str):
        return value
    if value is None or value != value:  # noqa: PLR0124 only NaN differs from itself
        return ""
    text = json.dumps(value, ensure_ascii=False, default=_plain)
    return str(json.loads(text)) if text.startswith('"') else text


def _plain(value: Any) -> object:
    """Return what JSON can hold: of a number of numpy its number, of a time its text by ISO 8601."""
    for method in ("isoformat", "item"):
        if callable(found := getattr(value, method, None)):
            return found()
    return str(value)


def _unknown(name: str, columns: list[str]) -> str:
    near = get_close_matches(name, columns, 1)
    hint = f"; perhaps {near[0]!r}" if near else ""
    named = ", ".join(columns[:MOST_NAMED]) + (", ..." if len(columns) > MOST_NAMED else "")
    return f"there is no column {name!r}{hint}; the columns are {named}"
