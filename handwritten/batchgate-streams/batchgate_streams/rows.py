"""Cuts JSONL into rows as it arrives, however it is cut up on the way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TypeAlias

from batchgate_streams.errors import CutShort, UnusableAnswer

Row: TypeAlias = dict[str, Any]
"""One line, in the dialect of the batch: ``custom_id`` with ``result``, or with ``response`` and ``error``."""


class Rows:
    """Takes pieces of a body and gives the rows that they complete."""

    def __init__(self) -> None:
        self._begun: list[bytes] = []
        self._line = 0

    def feed(self, piece: bytes) -> Iterator[Row]:
        r"""Take a piece; only ``\n`` ends a line, since a lone ``\r`` or U+2028 may stand inside one."""
        *ended, rest = piece.split(b"\n")
        for line in ended:
            yield from self._row(b"".join([*self._begun, line]))
            self._begun.clear()
        if rest:
            self._begun.append(rest)

    def finish(self) -> None:
        """Take the end of the body; raises `CutShort` inside a line."""
        if self._begun:
            raise CutShort(f"the results break off inside line {self._line + 1}")

    def _row(self, line: bytes) -> Iterator[Row]:
        self._line += 1
        if not line.strip():
            return
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UnusableAnswer(f"line {self._line} of the results is no JSON: {error}") from error
        if not isinstance(row, dict):
            raise UnusableAnswer(f"line {self._line} of the results is no JSON object")
        yield row
