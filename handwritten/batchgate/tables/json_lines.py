"""Tables in JSONL files: each line is an object whose fields are the columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from batchgate.tables.errors import RowError, TableError
from batchgate.tables.table import Row

LONGEST_LINE: Final = 33 * 1024 * 1024
"""Bytes; a little more than the gateway's limit for one request."""

_OBJECT: Final = msgspec.json.Decoder(dict[str, object])


class JsonLinesTable:
    """A `Table` in a JSONL file; its columns are the fields of the first object."""

    def __init__(self, path: Path) -> None:
        self._path = path
        first = next((row for row in self.rows() if isinstance(row, Row)), None)
        self.columns: Sequence[str] = [] if first is None else list(first.cells)

    def rows(self) -> Iterator[Row | RowError]:
        """Read the rows; blank lines are none."""
        number = 0
        for line, text in enumerate(self._lines(), 1):
            if text.isspace():
                continue
            number += 1
            try:
                yield Row(number, f"line {line}", _OBJECT.decode(text))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                yield RowError(f"line {line}: it must be a JSON object whose fields are columns: {error}")

    def _lines(self) -> Iterator[bytes]:
        try:
            with self._path.open("rb") as file:
                first = file.readline(LONGEST_LINE).removeprefix(b"\xef\xbb\xbf")
                text = first
                while text:
                    if len(text) >= LONGEST_LINE:
                        raise TableError(f"{self._path}: a line has more than 33 MiB")
                    yield text
                    text = file.readline(LONGEST_LINE)
        except OSError as error:
            raise TableError(f"{self._path}: cannot be read: {error.strerror}") from error
