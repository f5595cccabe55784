"""Readers of HTTP bodies and files: parse requests and uploads as their bytes arrive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from batchgate.engine.model.batch import InputFault
from batchgate.engine.model.file import Upload


class BodyReader(Protocol):
    """Reads the requests of a create in one wire format, piece by piece; raises `RefusedError` for a fault."""

    @property
    def is_compressed(self) -> bool:
        """Whether the body is compressed, so that a few bytes of it may contain much data."""
        ...

    def feed(self, data: bytes) -> Iterator[list[bytes]]:
        """Read the next bytes and yield the input lines that they complete, LF included.

        The lines come a few at a time, since a few bytes of a compressed body may contain very many.
        """
        ...

    def finish(self) -> list[bytes]:
        """Read the end of the body and return the last lines."""
        ...


class BatchFileReader(BodyReader, Protocol):
    """A `BodyReader` for an input file: it collects the faults; after the first fault it yields no more lines."""

    @property
    def faults(self) -> Sequence[InputFault]:
        """The faults found so far, in the order of the lines."""
        ...

    @property
    def over_limit(self) -> bool:
        """Whether the file has more lines than a batch may have, so that reading can stop."""
        ...

    @property
    def model_prefixes(self) -> Mapping[str, int]:
        """The parts before a slash in the models of the requests, with their first line; bounded in number."""
        ...

    def common_model(self, default: str | None) -> str | None:
        """Return the model of all requests; None if they differ. ``default`` is the model of those that name none."""
        ...


class UploadReader(Protocol):
    """Reads the body of a file upload, piece by piece; raises `RefusedError` for a fault."""

    @property
    def is_compressed(self) -> bool:
        """Whether the body is compressed, so that a few bytes of it may contain much data."""
        ...

    @property
    def purpose(self) -> str | None:
        """The purpose of the file, once it has been read."""
        ...

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Read the next bytes and yield those of the file content."""
        ...

    def finish(self) -> Upload:
        """Read the end of the body and return the fields beside the content."""
        ...
