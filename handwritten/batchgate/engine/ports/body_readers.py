"""Readers of HTTP bodies and files: parse requests and uploads as their bytes arrive."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

from batchgate.engine.model.batch import InputFault
from batchgate.engine.model.file import Upload


class BodyReader(Protocol):
    """Reads a body in one wire format, piece by piece; raises `RefusedError` for what is wrong with it."""

    @property
    def expands(self) -> bool:
        """Whether a little of the body may hold very much, as when it is compressed."""
        ...

    def feed(self, data: bytes) -> Iterator[list[bytes]]:
        """Take the next bytes and yield the input lines, LF included, that are complete and valid.

        They come a few at a time, since a little of a compressed body may hold very many.
        """
        ...

    def finish(self) -> list[bytes]:
        """Take the end of the body and return the last lines."""
        ...


class FileReader(BodyReader, Protocol):
    """A `BodyReader` for a file: what is wrong with it is gathered instead of raised, and then no lines come."""

    @property
    def faults(self) -> Sequence[InputFault]:
        """What has been found to be wrong so far, in the order of the lines."""
        ...

    @property
    def over_limit(self) -> bool:
        """Whether to read on is of no use: there are more lines than a batch may have."""
        ...

    @property
    def model_prefixes(self) -> Collection[str]:
        """What stands before a slash in the models of the requests, as far as that is of bounded number."""
        ...


class UploadReader(Protocol):
    """Reads the body of an upload, piece by piece; raises `RefusedError` for what is wrong with it."""

    @property
    def expands(self) -> bool:
        """Whether a little of the body may hold very much, as when it is compressed."""
        ...

    @property
    def purpose(self) -> str | None:
        """The purpose, if it has come already."""
        ...

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take the next bytes and yield those of them that are the file's content."""
        ...

    def finish(self) -> Upload:
        """Take the end of the body, and say what stood beside the content."""
        ...
