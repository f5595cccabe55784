"""The limits on calls to providers: calls in flight, requests and tokens per minute, and circuit breakers."""

from batchgate.engine.dispatch.limits.account_limits import AccountLimits
from batchgate.engine.dispatch.limits.limiter import Limiter
from batchgate.engine.dispatch.limits.outcome import ABANDONED, SERVED, CallOutcome, OutcomeKind, outcome_of
from batchgate.engine.dispatch.limits.permit import Permit
from batchgate.engine.dispatch.limits.waiter import Precedence

__all__ = [
    "ABANDONED",
    "SERVED",
    "AccountLimits",
    "CallOutcome",
    "Limiter",
    "OutcomeKind",
    "Permit",
    "Precedence",
    "outcome_of",
]
