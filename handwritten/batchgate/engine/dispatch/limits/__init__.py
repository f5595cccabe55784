"""The limits on calls to providers: calls in flight, requests and tokens per minute, and circuit breakers."""

from batchgate.engine.dispatch.limits.account_limits import AccountLimits
from batchgate.engine.dispatch.limits.limiter import Limiter
from batchgate.engine.dispatch.limits.outcome import ABANDONED, SERVED, Outcome, OutcomeKind, outcome_of
from batchgate.engine.dispatch.limits.permit import Permit
from batchgate.engine.dispatch.limits.wait_queue import Precedence

__all__ = [
    "ABANDONED",
    "SERVED",
    "AccountLimits",
    "Limiter",
    "Outcome",
    "OutcomeKind",
    "Permit",
    "Precedence",
    "outcome_of",
]
