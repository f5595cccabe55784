"""Validates a file at a gateway, and numbers the errors by the lines of the file."""

from __future__ import annotations

from array import array
from typing import BinaryIO, Final

from msgspec import structs

from batchgate.cli.connection import Connection
from batchgate.cli.failures import GatewayRefused
from batchgate.cli.file_dialect import dialect_of
from batchgate.cli.refusal_text import in_words
from batchgate.cli.request_lines import LineFault
from batchgate.cli.submission import create_body, open_content, read_pieces
from batchgate_api.gateway import BatchEstimate, LaneEstimate, RequestFault

MAX_ERRORS: Final = 100
"""Errors that are kept; all are counted."""
NOTHING: Final = BatchEstimate(
    requests=0,
    error_count=0,
    errors=[],
    input_tokens=0,
    expected_output_tokens=0,
    max_output_tokens=0,
    direct=LaneEstimate(input_usd=0.0, expected_usd=0.0, max_usd=0.0, unpriced=0),
    native=None,
    models=[],
    lanes=[],
    not_native=[],
    direct_seconds=None,
    native_seconds=None,
)
"""The estimate of a file without a valid line: the gateway refuses a body without requests."""


class CheckedLines:
    """The `LineCheck` that goes on behind invalid lines."""

    def __init__(self) -> None:
        self._sent = array("Q")
        self.faults: list[RequestFault] = []
        self.invalid = 0

    @property
    def has_sent(self) -> bool:
        """Whether any line is a request; of a file that is one document, none is."""
        return bool(self._sent)

    def accept(self, number: int) -> None:
        """Count a line that is sent."""
        self._sent.append(number)

    def refuse(self, number: int, fault: LineFault) -> None:
        """Count an invalid line."""
        self.invalid += 1
        if len(self.faults) < MAX_ERRORS:
            self.faults.append(
                RequestFault(
                    index=None, line=number, custom_id=None, param=fault.param, code=fault.code, message=fault.message
                )
            )

    def numbered(self, fault: RequestFault) -> RequestFault:
        """Return an error of the gateway with the line of its request."""
        said = structs.replace(fault, message=in_words(fault.message))
        if fault.index is None or not self._sent:
            return said
        return structs.replace(said, index=None, line=self._sent[fault.index])


async def validate(connection: Connection, file: BinaryIO, *, account: str | None, lane: str | None) -> BatchEstimate:
    """Send a file to a gateway for validation, and return the estimate with the errors of all lines."""
    lines = CheckedLines()
    fields = {} if lane is None else {"lane": lane}
    content = await open_content(read_pieces(file.fileno()))
    dialect_of(content.start, file.name)
    async with connection.client() as client:
        try:
            estimate = await client.validate(create_body(content, lines, fields), account)
        except GatewayRefused:
            if lines.has_sent or not lines.invalid:
                raise
            estimate = NOTHING
    return _with_lines(estimate, lines)


def _with_lines(estimate: BatchEstimate, lines: CheckedLines) -> BatchEstimate:
    """Add the invalid lines, in the order of all lines."""
    faults = [*lines.faults, *map(lines.numbered, estimate.errors)]
    return structs.replace(
        estimate,
        requests=estimate.requests + lines.invalid,
        error_count=estimate.error_count + lines.invalid,
        errors=sorted(faults, key=lambda fault: fault.line or fault.index or 0)[:MAX_ERRORS],
    )
