"""The limits in front of the providers: how many calls at once, how many a minute, and when to stop altogether."""

from batchgate.engine.limits.account import AccountLimits
from batchgate.engine.limits.limiter import Limiter
from batchgate.engine.limits.line import Order
from batchgate.engine.limits.outcome import ABANDONED, SERVED, Outcome, OutcomeKind, outcome_of
from batchgate.engine.limits.ticket import Ticket

__all__ = [
    "ABANDONED",
    "SERVED",
    "AccountLimits",
    "Limiter",
    "Order",
    "Outcome",
    "OutcomeKind",
    "Ticket",
    "outcome_of",
]
