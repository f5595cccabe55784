"""Tables in CSV and TSV files, in UTF-8 or in the UTF-16 of programs on Windows."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Protocol, TextIO

from batchgate.tables.errors import RowError, TableError
from batchgate.tables.table import Row

LONGEST_CELL: Final = 32 * 1024 * 1024
"""Characters. A quote that is not closed would otherwise make one cell of the rest of the file."""
DELIMITERS: Final = ",;\t"
_QUOTED: Final = re.compile(r'(?:^|(?<=[,;\t]))"(?:[^"]|"")*"?')
"""A cell in quotes, which may have any delimiter."""
TAB_SUFFIXES: Final = frozenset({".tsv", ".tab"})

csv.field_size_limit(LONGEST_CELL)


class _Reader(Protocol):
    """A reader of the module csv."""

    @property
    def line_num(self) -> int:
        """Lines that were read."""
        ...

    def __iter__(self) -> Iterator[list[str]]: ...


class DelimitedTable:
    """A `Table` in a CSV or TSV file, whose first line names the columns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.encoding = _encoding(path)
        """The encoding, also for a file that is to look like this one."""
        with self._opened() as file:
            self.delimiter = _delimiter(path, self._first_line(file))
        with self._opened() as file:
            self.columns: Sequence[str] = self._header(csv.reader(file, delimiter=self.delimiter, strict=True))

    def rows(self) -> Iterator[Row | RowError]:
        """Read the rows; blank lines are none."""
        with self._opened() as file:
            reader = csv.reader(file, delimiter=self.delimiter, strict=True)
            lines = self._lines(reader)
            next(lines)
            number, begin = 0, reader.line_num + 1
            for cells in lines:
                if cells:
                    number += 1
                    yield self._row(number, begin, cells)
                begin = reader.line_num + 1

    def _opened(self) -> TextIO:
        try:
            return self._path.open(encoding=self.encoding, newline="")
        except OSError as error:
            raise TableError(f"{self._path}: cannot be read: {error.strerror}") from error

    def _lines(self, reader: _Reader) -> Iterator[list[str]]:
        try:
            yield from reader
        except csv.Error as error:
            hint = "; is a quote not closed?" if "field" in str(error) or "end of data" in str(error) else ""
            raise TableError(f"{self._path}, line {reader.line_num}: {error}{hint}") from error
        except UnicodeError as error:
            raise TableError(f"{self._path}, at line {reader.line_num + 1} or soon after: {_no_text(error)}") from error

    def _first_line(self, file: TextIO) -> str:
        try:
            return file.readline(LONGEST_CELL)
        except UnicodeError as error:
            raise TableError(f"{self._path}, line 1: {_no_text(error)}") from error

    def _header(self, reader: _Reader) -> list[str]:
        header = next(self._lines(reader), [])
        if not header:
            raise TableError(f"{self._path}: the first line must name the columns")
        twice = {name for name in header if header.count(name) > 1}
        if twice:
            raise TableError(f"{self._path}, line 1: the column {min(twice)!r} is there twice")
        return header

    def _row(self, number: int, line: int, cells: list[str]) -> Row | RowError:
        place = f"line {line}"
        if len(cells) != len(self.columns):
            count = "1 cell" if len(cells) == 1 else f"{len(cells)} cells"
            return RowError(f"{place}: it has {count}, and the first line names {len(self.columns)} columns")
        return Row(number, place, dict(zip(self.columns, cells, strict=True)))


def _encoding(path: Path) -> str:
    """Find the encoding by the byte order mark."""
    try:
        with path.open("rb") as file:
            start = file.read(3)
    except OSError as error:
        raise TableError(f"{path}: cannot be read: {error.strerror}") from error
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    return "utf-8-sig" if start == codecs.BOM_UTF8 else "utf-8"


def _no_text(error: UnicodeError) -> str:
    return f"it is neither UTF-8 nor UTF-16 with a byte order mark ({error}); save the file as UTF-8"


def _delimiter(path: Path, header: str) -> str:
    """Find the delimiter: a tab by the file's name, or else the one that the first line has most often."""
    if path.suffix.lower() in TAB_SUFFIXES:
        return "\t"
    return max(DELIMITERS, key=_QUOTED.sub("", header).count)
