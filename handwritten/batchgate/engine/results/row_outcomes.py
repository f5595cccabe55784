"""Reads how each request of an ended batch ended, from its stored input and its result file, side by side.

Both are in the order of submission. So a few lines of each are in memory at a time, whatever the size of the batch.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from functools import partial
from io import BytesIO

from msgspec import Struct

from batchgate.engine.intake.input_summary import new_input_hash
from batchgate.engine.model.batch import Batch, Dialect
from batchgate.engine.model.decoding_errors import DECODING_ERRORS
from batchgate.engine.model.errors import DamagedBlob
from batchgate.engine.model.failure import FailureKind
from batchgate.engine.model.stored_blob import stored_results
from batchgate.engine.ports.blobs import Blobs, ByteStream
from batchgate.engine.ports.rows import RowFormat, RowOutcome
from batchgate.engine.results.content_renderer import ContentRenderer, complete_lines


class EndedRow(Struct, frozen=True):
    """A request of an ended batch, and how it ended."""

    line: bytes
    """Its input line."""
    custom_id: str
    failure: FailureKind | None
    """Why it did not succeed; None if it did."""
    offset: int = 0
    """Where its result line begins in the result file."""
    size: int = 0
    """The bytes of its result line; 0 if it has none."""


class _Outcome(Struct, frozen=True):
    """A result line of the batch: how the request ended, and where the line is."""

    row: RowOutcome
    offset: int
    size: int


class RowOutcomes:
    """Reads the requests of ended batches."""

    def __init__(self, blobs: Blobs, contents: ContentRenderer, rows: Mapping[Dialect, RowFormat]) -> None:
        self._blobs = blobs
        self._contents = contents
        self._rows = rows

    async def read(self, batch: Batch) -> AsyncGenerator[list[EndedRow], None]:
        """Yield the requests of a batch that has its input and its results, some at a time, in their order.

        Raises `DamagedBlob`, at the end if not before, if one of the files is not what was written.
        """
        name = batch.input_blob
        assert name is not None
        waiting: deque[_Outcome] = deque()
        async with aclosing(self._outcomes(batch)) as outcomes, aclosing(self._input(batch, name)) as groups:
            async for group in groups:
                lines = BytesIO(group).readlines()
                while len(waiting) < len(lines) and (found := await anext(outcomes, None)) is not None:
                    waiting.extend(found)
                yield await asyncio.to_thread(self._paired, batch, name, lines, waiting)
            if waiting or await anext(outcomes, None) is not None:
                raise DamagedBlob(f"{name}: damaged: the batch has results for requests that are not in its input")

    async def _outcomes(self, batch: Batch) -> AsyncGenerator[list[_Outcome], None]:
        results = stored_results(batch)
        read, offset = partial(_outcomes_of, results.name, self._rows[batch.dialect]), 0
        async with aclosing(complete_lines(results.name, self._contents.read(results))) as groups:
            async for group in groups:
                yield await asyncio.to_thread(read, group, offset)
                offset += len(group)

    async def _input(self, batch: Batch, name: str) -> ByteStream:
        """Yield the lines of the stored input, and verify it as a whole."""
        found = new_input_hash()
        async with aclosing(complete_lines(name, self._blobs.stream(name))) as groups:
            async for group in groups:
                await asyncio.to_thread(found.update, group)
                yield group
        if batch.input_hash is not None and found.digest() != batch.input_hash:
            raise DamagedBlob(f"{name}: damaged: its hash is not the one of what was written")

    def _paired(self, batch: Batch, name: str, lines: list[bytes], outcomes: deque[_Outcome]) -> list[EndedRow]:
        """Return the requests of some lines, and take their outcomes; a request may have no result line."""
        rows, found = self._rows[batch.dialect], list[EndedRow]()
        for line in lines:
            try:
                custom_id = rows.custom_id(line)
            except (*DECODING_ERRORS, ValueError) as error:
                raise DamagedBlob(f"{name}: damaged: a line cannot be decoded") from error
            if outcomes and outcomes[0].row.custom_id == custom_id:
                outcome = outcomes.popleft()
                found.append(EndedRow(line, custom_id, outcome.row.failure, outcome.offset, outcome.size))
            else:
                found.append(EndedRow(line, custom_id, batch.unfinished_status))
        return found


def _outcomes_of(name: str, rows: RowFormat, lines: bytes, offset: int) -> list[_Outcome]:
    """Read result lines, of which the first begins at ``offset`` in the file."""
    found = list[_Outcome]()
    try:
        for line in BytesIO(lines):
            found.append(_Outcome(rows.outcome(line), offset, len(line)))
            offset += len(line)
    except DECODING_ERRORS as error:
        raise DamagedBlob(f"{name}: damaged: a line cannot be decoded") from error
    return found
