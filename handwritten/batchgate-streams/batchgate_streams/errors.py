"""Every error that this package raises on purpose.

The tree::

    StreamsError
    ├── GatewayRefused        the gateway answered with an error
    ├── UnusableAnswer        what came is not what Batchgate sends: no JSON, another shape, a wrong digest
    ├── ConnectionFailed      no whole answer came; what was asked may have been done
    │   └── CutShort          an answer began and broke off
    ├── SourceChanged         a file changed while it was uploaded; nothing of it is stored
    └── WaitTimedOut          the batch had not ended in time; it goes on

Errors of httpx are translated in `calls.failures`, always ``from exc``. What a caller's own source or callback raises
passes through as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

from batchgate_client.models import BatchProgress


class StreamsError(Exception):
    """The base of every error of this package."""


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """What the gateway says of an error; what it leaves out is None.

    ``retry_after`` is the wait in seconds that it asks for, and ``request_id`` finds the call in its log.
    """

    status: int
    message: str
    type: str | None = None
    code: str | None = None
    param: str | None = None
    request_id: str | None = None
    retry_after: float | None = None


class GatewayRefused(StreamsError):
    """The gateway answered with an error; its message is this one's, and ``refusal`` has the rest."""

    def __init__(self, refusal: Refusal) -> None:
        known = f" (request id {refusal.request_id})" if refusal.request_id else ""
        super().__init__(f"HTTP {refusal.status}: {refusal.message}{known}")
        self.refusal = refusal

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.refusal.status


class UnusableAnswer(StreamsError):
    """What came is not what Batchgate sends, or not whole on the disk of the gateway."""


class ConnectionFailed(StreamsError):
    """No whole answer came; what was asked may have been done."""


class CutShort(ConnectionFailed):
    """An answer began and broke off."""


class SourceChanged(StreamsError):
    """A file changed while it was uploaded; nothing of it is stored."""


class WaitTimedOut(StreamsError):
    """The batch had not ended in time; ``progress`` is what was known last, if anything was."""

    def __init__(self, message: str, progress: BatchProgress | None) -> None:
        super().__init__(message)
        self.progress = progress
