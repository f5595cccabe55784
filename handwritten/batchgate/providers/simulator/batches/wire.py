"""What a wire format adds to a batch job: the validation of its input and the lines of its results."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol, TypeAlias

from msgspec import Struct

Unfinished: TypeAlias = Literal["expired", "canceled"]


class LineFault(Struct, frozen=True, kw_only=True):
    """What is wrong with an input file, or with one line of it."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None
    """The number of the line, as the provider counts."""


class Validation(Struct, frozen=True, kw_only=True):
    """What the validation of an input file found."""

    custom_ids: list[str | None]
    """The ids of all rows, in order; None where a line has no id."""
    tokens: int = 0
    """An estimate of the input tokens of all rows."""
    model: str | None = None
    """The model of the first row."""
    faults: tuple[LineFault, ...] = ()
    """Faults for which the whole job fails."""
    row_faults: dict[int, LineFault] = {}
    """Faults of single rows, by row number, which do not stop the others."""


class RowCall(Struct, frozen=True, kw_only=True):
    """A row to be answered."""

    job_id: str
    index: int
    custom_id: str | None
    line: bytes
    """The row's line of the input file."""
    fault: LineFault | None = None


class RowAnswer(Struct, frozen=True, kw_only=True):
    """The answer to a row."""

    line: bytes
    """The line of the result file."""
    succeeded: bool
    input_tokens: int = 0
    output_tokens: int = 0


class JobRules(Struct, frozen=True, kw_only=True):
    """How the jobs of a provider behave."""

    expires: bool = True
    """Whether a job ends when its completion window is over."""
    one_result_file: bool = False
    """Whether errors are in the same file as answers."""
    reordered: bool = False
    """Whether results come in another order than rows."""
    error_file_always: bool = False
    """Whether there is an error file even if it is empty."""
    cancelled_results: bool = True
    """Whether the answered rows of a cancelled job are readable."""
    cancel_completes: bool = False
    """Whether a job that is cancelled while it runs is completed nevertheless."""


class BatchWire(Protocol):
    """The part of a job that depends on the provider."""

    rules: JobRules

    def validate(self, path: Path) -> Validation:
        """Read an input file and report its rows and faults."""
        ...

    def answer(self, call: RowCall) -> RowAnswer:
        """Answer a row."""
        ...

    def unfinished_line(self, call: RowCall, state: Unfinished) -> bytes:
        """Return the line of the result file for a row that was never run."""
        ...

    def failure(self, code: str, model: str | None) -> LineFault:
        """Return the fault of a job that fails with a code."""
        ...
