"""Reads the input of a batch that is in the form of stored lines already."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO


class LineReader:
    """A `BodyReader` for pieces of whole lines, LF included."""

    is_compressed = False

    def feed(self, data: bytes) -> Iterator[list[bytes]]:
        """Yield the lines of a piece."""
        yield BytesIO(data).readlines()

    def finish(self) -> list[bytes]:
        """Return nothing: each piece ended with a line."""
        return []
