"""Splits a stream of JSONL pieces into rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TypeAlias

from batchgate_streams.errors import CutShort, UnusableAnswer

Row: TypeAlias = dict[str, Any]
"""One line, in the dialect of the batch: ``custom_id`` with ``result``, or with ``response`` and ``error``."""


class Rows:
    """Takes pieces of a body and yields the rows that are complete."""

    def __init__(self) -> None:
        self._pending: list[bytes] = []
        self._line = 0

    def feed(self, piece: bytes) -> Iterator[Row]:
        r"""Take a piece; only ``\n`` ends a line, because a lone ``\r`` or U+2028 may be part of one."""
        *ended, rest = piece.split(b"\n")
        for line in ended:
            yield from self._row(b"".join([*self._pending, line]))
            self._pending.clear()
        if rest:
            self._pending.append(rest)

    def finish(self) -> None:
        """Check that the body ended at the end of a line; raises `CutShort` otherwise."""
        if self._pending:
            raise CutShort(f"the results end inside line {self._line + 1}")

    def _row(self, line: bytes) -> Iterator[Row]:
        self._line += 1
        if not line.strip():
            return
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UnusableAnswer(f"line {self._line} of the results is not JSON: {error}") from error
        if not isinstance(row, dict):
            raise UnusableAnswer(f"line {self._line} of the results is not a JSON object")
        yield row
