"""How the engine reads request rows and writes result rows without knowing their wire format."""

from __future__ import annotations

from typing import Literal, Protocol

from msgspec import Struct

from batchgate.engine.model.batch import Batch, Dialect
from batchgate.engine.model.errors import RequestError
from batchgate.engine.model.provider_call import RowKind
from batchgate.engine.model.usage import Usage


class InputRow(Struct, frozen=True, kw_only=True):
    """One request of a batch, looked into no further than running it needs."""

    custom_id: str
    params: bytes
    """The JSON object of the request itself: the params or the body of its line."""
    model: str


class RowFormat(Protocol):
    """The rows of one dialect; lines carry their LF."""

    def custom_id(self, line: bytes) -> str:
        """Read the custom_id of an input line."""
        ...

    def read(self, line: bytes, default_model: str | None = None) -> InputRow:
        """Read an input line; raises `RequestError` when it cannot be run.

        A request without a model gets ``default_model``, in its params too.
        """
        ...

    def succeeded_line(self, custom_id: str, message: bytes) -> bytes:
        """Write the line of a request that the model answered."""
        ...

    def errored_line(self, custom_id: str, error: RequestError) -> bytes:
        """Write the line of a request that ended in an error."""
        ...

    def unfinished_line(self, custom_id: str, ending: Literal["canceled", "expired"]) -> bytes:
        """Write the line of a request that was never answered."""
        ...

    def is_success(self, line: bytes) -> bool:
        """Tell if a result line is that of a request which succeeded."""
        ...


class LineTranslator(Protocol):
    """Looks into answers, and says lines in other dialects; pure, and never fails for a line of the batch's own."""

    def usage(self, kind: RowKind, answer: bytes) -> Usage | None:
        """Read what an answer took, if it says so."""
        ...

    def request_line(self, batch: Batch, line: bytes, dialect: Dialect) -> bytes:
        """Say an input line of a batch in another dialect; one that cannot be said becomes a line that says why."""
        ...

    def result_line(self, batch: Batch, line: bytes, dialect: Dialect) -> bytes:
        """Say a result line of a batch in another dialect; an answer that cannot be said becomes an error."""
        ...
