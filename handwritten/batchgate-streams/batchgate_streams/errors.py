"""The errors of this package.

The tree::

    StreamsError
    ├── GatewayRefused        the gateway answered with an error
    ├── UnusableAnswer        the answer is not Batchgate's: not JSON, another shape, a wrong digest
    ├── ConnectionFailed      no complete answer; the gateway may have executed the call
    │   └── CutShort          an answer was interrupted
    ├── SourceChanged         a file changed while it was uploaded; nothing of it is stored
    ├── UnusableRow           a row cannot become a request; nothing was sent to a model
    └── WaitTimedOut          the batch had not ended in time; it continues

Errors of httpx2 are translated in `calls.failures`, always ``from exc``. Errors of the caller's own source or callback
pass through unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass

from batchgate_client.models import BatchProgress


class StreamsError(Exception):
    """The base of every error of this package."""


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """An error answer of the gateway; missing fields are None.

    ``retry_after`` is in seconds; ``request_id`` finds the call in the gateway's log.
    """

    status: int
    message: str
    type: str | None = None
    code: str | None = None
    param: str | None = None
    request_id: str | None = None
    retry_after: float | None = None


class GatewayRefused(StreamsError):
    """The gateway answered with an error; ``refusal`` has its details."""

    def __init__(self, refusal: Refusal) -> None:
        known = f" (request id {refusal.request_id})" if refusal.request_id else ""
        super().__init__(f"HTTP {refusal.status}: {refusal.message}{known}")
        self.refusal = refusal

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.refusal.status


class UnusableAnswer(StreamsError):
    """The answer is not Batchgate's, or the gateway's file is damaged."""


class ConnectionFailed(StreamsError):
    """No complete answer came; the gateway may have executed the call."""


class CutShort(ConnectionFailed):
    """An answer was interrupted."""


class SourceChanged(StreamsError):
    """A file changed during its upload; the gateway stored nothing."""


class UnusableRow(StreamsError):
    """A row cannot become a request, such as one that lacks a column; no batch was created."""


class WaitTimedOut(StreamsError):
    """The batch had not ended in time; ``progress`` is the last known progress, or None."""

    def __init__(self, message: str, progress: BatchProgress | None) -> None:
        super().__init__(message)
        self.progress = progress
