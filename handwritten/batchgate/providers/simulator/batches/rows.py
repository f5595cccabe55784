"""The rows of a job: their states, and their result lines in a file on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Literal, TypeAlias

from msgspec import Struct

from batchgate.providers.simulator.batches.wire import LineFault, RowAnswer, RowCall, Unfinished

RowState: TypeAlias = Literal["pending", "succeeded", "errored", "expired", "canceled"]


class Row(Struct):
    """A row of a job."""

    custom_id: str | None
    state: RowState = "pending"
    offset: int = 0
    length: int = 0
    """Where its result line is in the log."""


class RowLog:
    """The rows of a job in order, and a log file with their result lines."""

    def __init__(self, job_id: str, input_path: Path, log_path: Path) -> None:
        self.rows: list[Row] = []
        self.answered = 0
        """Number of rows that ran; they run in order."""
        self._job_id = job_id
        self._input = input_path
        self._log = log_path
        self._position = 0
        """Where the line of the next row begins in the input file."""

    def fill(self, custom_ids: Iterable[str | None]) -> None:
        """Set the rows."""
        self.rows = [Row(custom_id) for custom_id in custom_ids]

    def run(
        self, until: int, answer: Callable[[RowCall], RowAnswer], faults: dict[int, LineFault]
    ) -> Iterator[RowAnswer]:
        """Answer the rows that come before a number and were not answered yet."""
        if until <= self.answered:
            return
        with self._input.open("rb") as lines, self._log.open("ab") as log:
            lines.seek(self._position)
            for index in range(self.answered, until):
                row = self.rows[index]
                line = lines.readline()
                call = RowCall(
                    job_id=self._job_id, index=index, custom_id=row.custom_id, line=line, fault=faults.get(index)
                )
                result = answer(call)
                row.state = "succeeded" if result.succeeded else "errored"
                self._append(log.tell(), row, log.write(result.line))
                yield result
            self._position = lines.tell()
        self.answered = until

    def finish(self, state: Unfinished, write: Callable[[RowCall], bytes]) -> None:
        """Give the rows that never ran their state, and write their lines."""
        with self._log.open("ab") as log:
            for index in range(self.answered, len(self.rows)):
                row = self.rows[index]
                row.state = state
                line = write(RowCall(job_id=self._job_id, index=index, custom_id=row.custom_id, line=b""))
                self._append(log.tell(), row, log.write(line))

    @staticmethod
    def _append(offset: int, row: Row, length: int) -> None:
        row.offset, row.length = offset, length

    def first_line(self) -> bytes:
        """Return the first line of the input file."""
        with self._input.open("rb") as lines:
            return lines.readline()

    def lines(self, indexes: Iterable[int]) -> Iterator[tuple[int, bytes]]:
        """Yield the numbers of rows with their result lines, in the given order."""
        self._log.touch()
        with self._log.open("rb") as log:
            for index in indexes:
                row = self.rows[index]
                log.seek(row.offset)
                yield index, log.read(row.length)

    def count(self, state: RowState) -> int:
        """Return the number of rows in a state."""
        return sum(row.state == state for row in self.rows)
