"""The outcome of a call, reduced to what the limits and retries depend on."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final

from msgspec import Struct

from batchgate.engine.model.errors import ErrorKind, UpstreamError, UpstreamUnreachable
from batchgate.engine.model.health_report import PauseCode


class OutcomeKind(Enum):
    """How a call ended."""

    SERVED = auto()
    """The model answered."""
    REQUEST_ERROR = auto()
    """The provider reported an error of the request, which has nothing to do with load."""
    SERVER_ERROR = auto()
    """The provider reported an error of its own (500, 502 and similar): for this request, or for all."""
    REFUSED = auto()
    """The provider refused the call for load: 429, 529 and similar."""
    NO_ANSWER = auto()
    """The call timed out, or the connection broke."""
    UNREACHABLE = auto()
    """There was no connection, so nothing was sent."""
    ACCOUNT_REJECTED = auto()
    """The provider rejects the account: its key is wrong, or payment is required."""
    FORBIDDEN = auto()
    """The provider denies the account this call: only this request, or all requests to the model."""
    ABANDONED = auto()
    """The call was cancelled here, or its outcome means nothing for the limits."""


class CallOutcome(Struct, frozen=True):
    """How a call ended, when the provider wants the next one, and the reason for operators."""

    kind: OutcomeKind
    account_works: bool = False
    """Whether it proves that the provider is reachable and accepts the account."""
    retry_after: float | None = None
    reason: str = ""
    pause_code: PauseCode = "provider_failing"
    """What the account is paused for, if this outcome pauses it."""

    @property
    def denied(self) -> bool:
        """Whether the provider denied the account access."""
        return self.kind is OutcomeKind.ACCOUNT_REJECTED or self.kind is OutcomeKind.FORBIDDEN


SERVED: Final = CallOutcome(OutcomeKind.SERVED, account_works=True)
ABANDONED: Final = CallOutcome(OutcomeKind.ABANDONED)

_BY_ERROR: Final[Mapping[ErrorKind, OutcomeKind]] = {
    "rate_limit_error": OutcomeKind.REFUSED,
    "overloaded_error": OutcomeKind.REFUSED,
    "timeout_error": OutcomeKind.NO_ANSWER,
    "authentication_error": OutcomeKind.ACCOUNT_REJECTED,
    "billing_error": OutcomeKind.ACCOUNT_REJECTED,
    "permission_error": OutcomeKind.FORBIDDEN,
}
_PAUSE_CODES: Final[Mapping[ErrorKind, PauseCode]] = {
    "authentication_error": "key_rejected",
    "billing_error": "payment_required",
    "permission_error": "permission_denied",
}
_ACCOUNT_WORKS: Final = frozenset({OutcomeKind.REQUEST_ERROR, OutcomeKind.SERVER_ERROR, OutcomeKind.REFUSED})


def outcome_of(error: UpstreamError) -> CallOutcome:
    """Classify an error. The reason is worded here, as a provider's message may contain the key."""
    if isinstance(error, UpstreamUnreachable):
        return CallOutcome(OutcomeKind.UNREACHABLE, reason=error.message, pause_code="unreachable")
    kind = _BY_ERROR.get(error.kind) or _kind_by_status(error)
    return CallOutcome(
        kind,
        kind in _ACCOUNT_WORKS,
        error.retry_after,
        _reason(error),
        _PAUSE_CODES.get(error.kind, "provider_failing"),
    )


def _kind_by_status(error: UpstreamError) -> OutcomeKind:
    if error.status >= 500 and error.retry_safe:
        return OutcomeKind.SERVER_ERROR
    return OutcomeKind.REQUEST_ERROR if error.status else OutcomeKind.NO_ANSWER


def _reason(error: UpstreamError) -> str:
    match error.kind:
        case "authentication_error":
            return f"the provider rejects its key ({error.status})"
        case "billing_error":
            return f"the provider requires payment ({error.status})"
        case "permission_error":
            return f"the provider denies permission ({error.status})"
        case "api_error" if error.status >= 500:
            return f"the provider answers every request with an error ({error.status})"
        case _:
            return error.kind
