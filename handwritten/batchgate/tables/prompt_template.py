"""Templates of prompts: ``{column}`` stands for the value of a column, ``{{`` and ``}}`` for braces.

The client (``batchgate_streams/prompts.py``) and the dashboard (``csv.js``) have the same rule, and cannot import this
module; one list of cases tests all three (``tests/support/prompt_templates.py``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from batchgate.tables.errors import RowError, TableError
from batchgate.tables.table import Cells, text_of, unknown_column

_PARTS: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_ESCAPE: Final = "write {{ and }} for braces, also in JSON"


class _Column(Struct, frozen=True):
    name: str


class PromptTemplate:
    """A text with places for columns; raises `TableError` for a single brace, and for an unknown column."""

    def __init__(self, text: str, columns: Sequence[str]) -> None:
        self._parts = [*_parts(text)]
        for name in self.columns:
            if name not in columns:
                raise TableError(f"{{{name}}}: {unknown_column(name, columns)}; {_ESCAPE}")

    @property
    def columns(self) -> Sequence[str]:
        """The columns that the template names."""
        return [part.name for part in self._parts if isinstance(part, _Column)]

    def fill(self, cells: Cells) -> str:
        """Return the text for a row; raises `RowError` if the row lacks a column, as one of JSONL may."""
        try:
            return "".join(part if isinstance(part, str) else text_of(cells[part.name]) for part in self._parts)
        except KeyError as error:
            raise RowError(f"it has no field {error.args[0]!r}, which the prompt names") from error


def _parts(text: str) -> list[str | _Column]:
    parts: list[str | _Column] = []
    end = 0
    for found in _PARTS.finditer(text):
        parts.append(text[end : found.start()])
        end = found.end()
        if found[0] in {"{{", "}}"}:
            parts.append(found[0][0])
        elif found[1] is None:
            place = f"the {found[0]} at character {found.start() + 1} of the template"
            raise TableError(f"{place} has no counterpart; {_ESCAPE}")
        else:
            parts.append(_Column(found[1]))
    return [part for part in (*parts, text[end:]) if part != ""]
