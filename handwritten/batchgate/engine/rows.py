"""How the engine reads request rows and writes result rows without knowing their wire format."""

from __future__ import annotations

from typing import Literal, Protocol

from msgspec import Struct

from batchgate.engine.errors import RequestError


class InputRow(Struct, frozen=True, kw_only=True):
    """One request of a batch, looked into no further than running it needs."""

    custom_id: str
    params: bytes
    model: str


class RowFormat(Protocol):
    """The rows of one dialect; lines carry their LF."""

    def custom_id(self, line: bytes) -> str:
        """Read the custom_id of an input line."""
        ...

    def read(self, line: bytes) -> InputRow:
        """Read an input line; raises `RequestError` when it cannot be run."""
        ...

    def succeeded(self, custom_id: str, message: bytes) -> bytes:
        """Write the line of a request that the model answered."""
        ...

    def errored(self, custom_id: str, error: RequestError) -> bytes:
        """Write the line of a request that ended in an error."""
        ...

    def unfinished(self, custom_id: str, ending: Literal["canceled", "expired"]) -> bytes:
        """Write the line of a request that was never answered."""
        ...
