"""How many calls of a batch failed and were made again, by reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from batchgate.engine.model.errors import ErrorKind, UpstreamError, UpstreamUnreachable

RetriedCallReason: TypeAlias = Literal[
    "rate_limit", "overloaded", "server_error", "timeout", "connection", "account_rejected", "other"
]
"""Why a call is made again."""

_BY_ERROR: Final[Mapping[ErrorKind, RetriedCallReason]] = {
    "rate_limit_error": "rate_limit",
    "overloaded_error": "overloaded",
    "timeout_error": "timeout",
    "authentication_error": "account_rejected",
    "billing_error": "account_rejected",
    "permission_error": "account_rejected",
}


class RetriedCalls(Struct, frozen=True):
    """The failed calls of a batch that were made again for one reason."""

    reason: RetriedCallReason
    count: int


def reason_of(error: UpstreamError) -> RetriedCallReason:
    """Return why the call that failed with an error is made again."""
    if isinstance(error, UpstreamUnreachable):
        return "connection"
    if error.kind in _BY_ERROR:
        return _BY_ERROR[error.kind]
    if error.status == 0:
        return "connection"
    return "server_error" if error.status >= 500 else "other"


def retried_calls(counts: Mapping[RetriedCallReason, int]) -> tuple[RetriedCalls, ...]:
    """Return counts as retried calls, the largest first."""
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return tuple(RetriedCalls(reason, count) for reason, count in ordered)


def add_retried(one: Sequence[RetriedCalls], other: Sequence[RetriedCalls]) -> tuple[RetriedCalls, ...]:
    """Return the sums of retried calls."""
    sums = Counter[RetriedCallReason]()
    for calls in (*one, *other):
        sums[calls.reason] += calls.count
    return retried_calls(sums)
