"""What the end of a call says about its account: the few things that the limits learn from."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final

from msgspec import Struct

from batchgate.engine.model.errors import ErrorKind, UpstreamDown, UpstreamError
from batchgate.engine.model.health_report import PauseCode


class OutcomeKind(Enum):
    """How a call ended, as far as the limits care."""

    SERVED = auto()
    """Answered by the model."""
    ANSWERED = auto()
    """Answered with an error that is about the request, not about load."""
    FAULTED = auto()
    """Answered with a fault of the provider's own: 500, 502 and their like; perhaps on this request, perhaps on all."""
    REFUSED = auto()
    """Refused for load: 429, 529 and their like."""
    LOST = auto()
    """No answer came: it took too long, or the connection broke."""
    DOWN = auto()
    """Nothing could be sent: there was no connection at all."""
    REJECTED = auto()
    """The provider does not take the account: its key is wrong, or it has to be paid."""
    FORBIDDEN = auto()
    """The provider does not let the account do this; perhaps only this request, perhaps nothing with this model."""
    ABANDONED = auto()
    """The call was given up on our side; it says nothing."""


class Outcome(Struct, frozen=True):
    """How a call ended, with what the provider asks for, and words for an operator."""

    kind: OutcomeKind
    works: bool = False
    """It shows that the account is reached and let in."""
    retry_after: float | None = None
    reason: str = ""
    pause_code: PauseCode = "provider_failing"
    """What the account is paused for, if this outcome pauses it."""

    @property
    def turned_away(self) -> bool:
        """Whether the provider did not let the account in."""
        return self.kind is OutcomeKind.REJECTED or self.kind is OutcomeKind.FORBIDDEN


SERVED: Final = Outcome(OutcomeKind.SERVED, works=True)
ABANDONED: Final = Outcome(OutcomeKind.ABANDONED)

_BY_ERROR: Final[Mapping[ErrorKind, OutcomeKind]] = {
    "rate_limit_error": OutcomeKind.REFUSED,
    "overloaded_error": OutcomeKind.REFUSED,
    "timeout_error": OutcomeKind.LOST,
    "authentication_error": OutcomeKind.REJECTED,
    "billing_error": OutcomeKind.REJECTED,
    "permission_error": OutcomeKind.FORBIDDEN,
}
_PAUSE_CODES: Final[Mapping[ErrorKind, PauseCode]] = {
    "authentication_error": "key_rejected",
    "billing_error": "payment_required",
    "permission_error": "permission_denied",
}
_WORKING: Final = frozenset({OutcomeKind.ANSWERED, OutcomeKind.FAULTED, OutcomeKind.REFUSED})


def outcome_of(error: UpstreamError) -> Outcome:
    """Read an error. The reason is in our own words, as a provider's may repeat the key."""
    if isinstance(error, UpstreamDown):
        return Outcome(OutcomeKind.DOWN, reason=error.message, pause_code="unreachable")
    kind = _BY_ERROR.get(error.kind) or _other_kind(error)
    return Outcome(
        kind, kind in _WORKING, error.retry_after, _reason(error), _PAUSE_CODES.get(error.kind, "provider_failing")
    )


def _other_kind(error: UpstreamError) -> OutcomeKind:
    if error.status >= 500 and error.retry_safe:
        return OutcomeKind.FAULTED
    return OutcomeKind.ANSWERED if error.status else OutcomeKind.LOST


def _reason(error: UpstreamError) -> str:
    match error.kind:
        case "authentication_error":
            return f"the provider rejects its key ({error.status})"
        case "billing_error":
            return f"the provider wants to be paid ({error.status})"
        case "permission_error":
            return f"the provider does not permit it ({error.status})"
        case "api_error" if error.status >= 500:
            return f"the provider fails on whatever it is asked ({error.status})"
        case _:
            return error.kind
