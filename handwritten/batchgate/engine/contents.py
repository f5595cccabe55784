"""The lines of batches as callers read them: all results in one dialect, or a part of a batch as a file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from msgspec import Struct

from batchgate.engine.batch import Batch, Dialect, Part


class Content(Struct, frozen=True, kw_only=True):
    """What is to be sent."""

    pieces: Callable[[], AsyncIterator[bytes]]
    """Reads it from its beginning."""
    blob: str | None = None
    """The blob that holds just this, if there is one: it can be sent without being looked into."""
    size: int | None = None
    """Bytes, where they are known."""


class Contents:
    """Makes contents of batches."""

    def results(self, batch: Batch, dialect: Dialect) -> Content:
        """Say all results of a batch that has some, in the order of submission, in a dialect."""
        raise NotImplementedError

    def part(self, batch: Batch, part: Part) -> Content:
        """Say a part of a batch in the dialect of files, OpenAI's."""
        raise NotImplementedError
