"""What every table is: named columns, and rows that can be read more than once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Final, Protocol, TypeAlias

import msgspec
from msgspec import Struct

from batchgate.tables.errors import RowError

Cells: TypeAlias = Mapping[str, object]
"""The values of a row by column: texts, the values of JSON, or what Arrow has."""

MOST_NAMED: Final = 20
"""Columns that a message names."""


class Row(Struct, frozen=True):
    """One row of a table."""

    number: int
    """Its place among the rows, from 1."""
    place: str
    """Where a person finds it in the file, such as ``line 12``."""
    cells: Cells


class Table(Protocol):
    """A table in a file. Each call of ``rows`` reads it from its beginning."""

    @property
    def columns(self) -> Sequence[str]:
        """The names of the columns, in their order; of JSONL those of the first row."""
        ...

    def rows(self) -> Iterator[Row | RowError]:
        """Read the rows, with an error in the place of each invalid one; raises `TableError` if nothing can follow."""
        ...


def unknown_column(name: str, columns: Sequence[str]) -> str:
    """Return what to say about a column that does not exist: the nearest one, and which there are."""
    near = get_close_matches(name, columns, 1)
    hint = f"; perhaps {near[0]!r}" if near else ""
    named = ", ".join(columns[:MOST_NAMED]) + (", ..." if len(columns) > MOST_NAMED else "")
    return f"there is no column {name!r}{hint}; the columns are {named}"


def text_of(value: object) -> str:
    """Return a cell as text: a text as it is, nothing for null, a time by RFC 3339, JSON for anything else."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    text = msgspec.json.encode(value, enc_hook=str)
    return msgspec.json.decode(text, type=str) if text.startswith(b'"') else text.decode()
