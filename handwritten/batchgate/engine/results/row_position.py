"""Where a page of requests of a batch begins, as the text that callers send back."""

from __future__ import annotations

from typing import Self

from msgspec import Struct

from batchgate.engine.model.errors import RefusedError

MAX_DIGITS = 18


class RowPosition(Struct, frozen=True, kw_only=True):
    """The request that is read next, and where its lines begin."""

    seq: int = 0
    input_offset: int = 0
    results_offset: int | None = 0
    """The first byte of its result in the result file; None while the batch runs."""
    first: int = 0
    """The first request that the caller has not seen: those before it are only read."""

    @property
    def cursor(self) -> str:
        """The position as a text."""
        results = "" if self.results_offset is None else str(self.results_offset)
        return f"{self.seq}.{self.input_offset}.{results}.{max(self.first, self.seq)}"

    @classmethod
    def of_cursor(cls, cursor: str) -> Self:
        """Read a cursor; raises `RefusedError` for another text."""
        parts = cursor.split(".")
        if len(parts) != 4 or not all(_is_number(part) for part in (parts[0], parts[1], parts[2] or "0", parts[3])):
            raise wrong_cursor(cursor)
        seq, offset, results, first = parts
        return cls(
            seq=int(seq), input_offset=int(offset), results_offset=int(results) if results else None, first=int(first)
        )

    def from_the_beginning(self) -> RowPosition:
        """Return the position from which the result file of a batch that has ended since must be read."""
        return RowPosition(first=max(self.first, self.seq))


def wrong_cursor(cursor: str) -> RefusedError:
    """Return the error for a text that is not the `next` of a page of this batch."""
    message = f"after: {cursor!r} is not the next of a page of this batch"
    return RefusedError("invalid_request_error", message, param="after")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS
