"""The plan of a run: which rows go into which batch, found in one pass over the table before anything is sent."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

import msgspec
from msgspec import Struct

from batchgate.cli.failures import CommandFailed
from batchgate.cli.terminal_text import say
from batchgate.tables.answer_table import AnswerTable
from batchgate.tables.chat_requests import ChatRequests
from batchgate.tables.errors import RowError
from batchgate.tables.table import Row, Table

MAX_ROWS: Final = 100_000
MAX_BYTES: Final = 200 * 1024 * 1024
"""What one batch takes; the gateway's limit for a body is 256 MB."""
SHOWN_ERRORS: Final = 100
DIGEST_SIZE: Final = 16

_ENCODER: Final = msgspec.json.Encoder(enc_hook=str)


class RunPart(Struct, frozen=True, kw_only=True):
    """Consecutive rows that become one batch."""

    number: int
    """From 0."""
    first: int
    """The number of rows before it."""
    rows: int
    requests_digest: bytes
    """The hash of its requests: equal requests are the same batch."""
    rows_digest: bytes
    """The hash of its rows, to see that the table is the same when the answers are joined."""


class RunSource(Struct, frozen=True):
    """The rows of a run, what becomes of them, and where the answers go."""

    table: Table
    requests: ChatRequests
    answers: AnswerTable


class _OpenPart:
    """A part while rows are added to it."""

    def __init__(self, number: int, first: int) -> None:
        self._number = number
        self.first = first
        self.rows = 0
        self.bytes = 0
        self._requests = hashlib.blake2b(digest_size=DIGEST_SIZE)
        self._rows = hashlib.blake2b(digest_size=DIGEST_SIZE)
        self._ids: set[str] = set()

    def takes(self, line: bytes) -> bool:
        """Whether the next request still fits."""
        return self.rows < MAX_ROWS and (not self.rows or self.bytes + len(line) <= MAX_BYTES)

    def add(self, row: Row, line: bytes, row_id: str | None) -> None:
        """Add a row with its request; raises `RowError` if its id is there already. An id of None is unique."""
        if row_id is not None:
            if row_id in self._ids:
                raise RowError(f"{row.place}: the id {row_id!r} is there twice")
            self._ids.add(row_id)
        self.rows += 1
        self.bytes += len(line)
        self._requests.update(line)
        self._rows.update(_ENCODER.encode(row.cells))

    def closed(self) -> RunPart:
        """Return the part."""
        return RunPart(
            number=self._number,
            first=self.first,
            rows=self.rows,
            requests_digest=self._requests.digest(),
            rows_digest=self._rows.digest(),
        )

    def next(self) -> _OpenPart:
        """Return the part behind this one."""
        return _OpenPart(self._number + 1, self.first + self.rows)


def plan_run(source: RunSource) -> Sequence[RunPart]:
    """Read all rows and return the parts; prints what is wrong with rows, and raises `CommandFailed` if anything is."""
    parts: list[RunPart] = []
    part = _OpenPart(0, 0)
    errors = 0
    for row in source.table.rows():
        try:
            line = _line(source, row)
            if not part.takes(line):
                parts.append(part.closed())
                part = part.next()
            if isinstance(row, Row):
                part.add(row, line, _checked_id(source, row))
        except RowError as error:
            errors += 1
            if errors <= SHOWN_ERRORS:
                say(str(error), err=True)
    if errors:
        raise CommandFailed(f"{errors:,} {'row is' if errors == 1 else 'rows are'} invalid; nothing was sent.")
    if not part.rows:
        raise CommandFailed("The table has no rows.")
    return [*parts, part.closed()]


def first_rows(source: RunSource, rows: Sequence[Row]) -> RunPart:
    """Return the part of the first rows of a table, which are valid."""
    part = _OpenPart(0, 0)
    for row in rows:
        part.add(row, source.requests.line(row), None)
    return part.closed()


def _line(source: RunSource, row: Row | RowError) -> bytes:
    if isinstance(row, RowError):
        raise row
    source.answers.check(row)
    return source.requests.line(row)


def _checked_id(source: RunSource, row: Row) -> str | None:
    column = source.requests.id_column
    return None if column is None else str(row.cells[column])


class PartRows:
    """Reads the rows of parts one after another, without a new start for each."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._position: int | None = None
        self._rows: Iterator[Row | RowError] = iter(())

    def of(self, part: RunPart) -> Iterator[Row]:
        """Yield the rows of a part; raises `CommandFailed` if the table is not what it was."""
        if self._position != part.first:
            self._rows = islice(self._table.rows(), part.first, None)
        self._position = None
        digest = hashlib.blake2b(digest_size=DIGEST_SIZE)
        count = 0
        for row in islice(self._rows, part.rows):
            if isinstance(row, RowError):
                raise changed_input()
            digest.update(_ENCODER.encode(row.cells))
            count += 1
            yield row
        if count != part.rows or digest.digest() != part.rows_digest:
            raise changed_input()
        self._position = part.first + part.rows


def changed_input() -> CommandFailed:
    """Return the failure of a run whose table is changed while it runs."""
    return CommandFailed("The input was changed since this command began to read it. Run it again with a file at rest.")
