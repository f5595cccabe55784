"""Shares calls between the batches whose priority has the scope ``gateway``, and all other batches together.

The others count as one batch with the weight of the priority ``normal``, so their order among themselves is what it
would be without such batches. The shares are as in `workspace_turns`.
"""

from __future__ import annotations

from typing import Final

from batchgate.engine.dispatch.limits.waiter import Precedence, Waiter
from batchgate.engine.dispatch.limits.workspace_turns import WorkspaceTurns
from batchgate.engine.model.priority import WEIGHTS

STEP: Final = 1 / WEIGHTS["normal"]
"""How much later the next call of the other batches is due after each call, in virtual time."""


class GatewayTurns(WorkspaceTurns):
    """The ready waiters of batches that compete with all others."""

    __slots__ = ("_are_charged", "_others_due", "_others_wait")

    def __init__(self) -> None:
        super().__init__()
        self._others_due = 0.0
        self._others_wait = False
        """Whether other batches had a ready call at the last look."""
        self._are_charged = False
        """Whether the next call of the others takes a turn: an urgent one takes none."""

    def first_before(self, others: Precedence | None) -> Waiter | None:
        """Return the next waiter; None if the first of the others, which has this precedence, goes before it."""
        found = self.first()
        if others is not None and not self._others_wait:  # while they had no calls to make they have saved up nothing
            self._others_due = max(self._others_due, self._now)
        self._others_wait = others is not None
        self._are_charged = False
        if found is None or others is None:
            return None if found is None else found[1]
        demotions, seq, _ = others
        if demotions or seq < 0:
            return found[1] if demotions else None
        self._are_charged = self._others_due <= self.next_due
        return None if self._are_charged else found[1]

    def charge_others(self) -> None:
        """Record that the call of the others has started which the last `first_before` let go first."""
        if self._are_charged:
            self._now = self._others_due
            self._others_due += STEP
