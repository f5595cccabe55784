"""Wire formats of request and result lines, and the translation between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

from msgspec import Struct

from batchgate.engine.model.answer_facts import AnswerFacts
from batchgate.engine.model.batch import Batch, Dialect
from batchgate.engine.model.errors import RequestError
from batchgate.engine.model.failure import FailureKind
from batchgate.engine.model.provider_call import RowKind
from batchgate.engine.model.token_estimate import TokenEstimate
from batchgate.engine.model.usage import Usage


class InputRow(Struct, frozen=True, kw_only=True):
    """One request of a batch, parsed only as far as sending it requires."""

    custom_id: str
    params: bytes
    """The raw JSON object of the request: ``params`` or ``body`` of its line."""
    model: str
    url: str | None = None
    """The path and query at the provider of the batch's account, for a request to a provider's own url."""


class RowOutcome(Struct, frozen=True):
    """How one request of a batch ended, as its result line tells."""

    custom_id: str
    failure: FailureKind | None
    """Why it did not succeed; None if it did."""


class RowFormat(Protocol):
    """Reads request lines and writes result lines of one dialect; lines include their LF."""

    def custom_id(self, line: bytes) -> str:
        """Read the custom_id of an input line."""
        ...

    def read(self, line: bytes, default_model: str | None = None) -> InputRow:
        """Read an input line; raises `RequestError` if the request cannot be sent.

        A request without a model gets ``default_model``, also in its params.
        """
        ...

    def succeeded_line(self, custom_id: str, message: bytes, *, cost: int | None = None) -> bytes:
        """Return the result line of a request that succeeded, with its cost in nano-dollars if that is known."""
        ...

    def errored_line(self, custom_id: str, error: RequestError) -> bytes:
        """Return the result line of a request that ended with an error."""
        ...

    def unfinished_line(self, custom_id: str, status: Literal["canceled", "expired"]) -> bytes:
        """Return the result line of a request that got no answer."""
        ...

    def expired_line(self, custom_id: str, reason: str) -> bytes | None:
        """Return the result line of a request that expired, with the reason; None if the format has no room for it."""
        ...

    def is_expired(self, line: bytes) -> bool:
        """Check that a result line is that of a request that expired."""
        ...

    def is_success(self, line: bytes) -> bool:
        """Check that a result line is that of a request that succeeded."""
        ...

    def outcome(self, line: bytes) -> RowOutcome:
        """Read from a result line how its request ended."""
        ...

    def answer(self, line: bytes) -> bytes:
        """Read the answer from the result line of a request that succeeded, as `succeeded_line` takes it."""
        ...

    def change_model(self, line: bytes, change: Callable[[str], str]) -> bytes:
        """Return an input line whose request names the model that ``change`` returns for the one it names.

        A request that names none stays as it is, and so does one to a provider's own url.
        """
        ...


class LineTranslator(Protocol):
    """Translates lines between dialects, and counts tokens; does no I/O, and never fails for lines of the batch."""

    def usage(self, kind: RowKind, answer: bytes) -> Usage | None:
        """Return the token usage that an answer states, if it does."""
        ...

    def facts(self, kind: RowKind, answer: bytes) -> AnswerFacts:
        """Return what an answer says about itself."""
        ...

    def request_tokens(self, kind: RowKind, params: bytes) -> TokenEstimate | None:
        """Estimate the tokens of a request; None if requests of its kind count none."""
        ...

    def request_line(self, batch: Batch, line: bytes, dialect: Dialect) -> bytes:
        """Translate an input line of a batch; a request that cannot be translated becomes a line with the reason."""
        ...

    def result_line(self, batch: Batch, line: bytes, dialect: Dialect) -> bytes:
        """Translate a result line of a batch; an answer that cannot be translated becomes an error."""
        ...
