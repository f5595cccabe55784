"""Readers of HTTP bodies and files: parse requests and uploads as their bytes arrive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from batchgate.engine.model.batch import BatchOptions, InputFault
from batchgate.engine.model.file import Upload
from batchgate.engine.model.request_fault import FaultList


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
    """A `BodyReader` for an input file: it collects the faults."""

    @property
    def places(self) -> Sequence[int]:
        """The numbers of the lines that it has yielded, from 1."""
        ...

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


class OpenBatchFile(Protocol):
    """Opens the reader for the input file of a batch with these options."""

    def __call__(self, options: BatchOptions, *, keeps_valid_lines: bool = False) -> BatchFileReader:
        """Return the reader; after the first fault it yields no more lines, unless it ``keeps_valid_lines``."""
        ...


class ReadRequests(Protocol):
    """Which requests a `BodyReader` has yielded that does not stop at faults, and what is wrong with the others."""

    @property
    def places(self) -> Sequence[int]:
        """The indexes or line numbers of the requests that were yielded."""
        ...

    @property
    def found(self) -> FaultList:
        """The faults of the others, and those of the file as a whole."""
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
