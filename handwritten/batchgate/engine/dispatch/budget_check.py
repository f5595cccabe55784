"""Pauses batches that are about to send requests although a monthly budget of theirs is reached."""

from __future__ import annotations

from collections.abc import Callable, Collection

from batchgate.engine.model.batch import Batch
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.clock import Clock
from batchgate.engine.model.monthly_budget import pause_for
from batchgate.engine.ports.budget_store import BudgetStore
from batchgate.engine.ports.steering_store import SteeringStore


class BudgetCheck:
    """Looks at the monthly budgets before calls and jobs.

    Results pause only their own batch. This finds what other batches have spent, in any process, and what other
    accounts have: which of them a batch calls is known when it calls. ``accounts`` are those of this process; the store
    also keeps the budgets of others, which were removed from the settings or are in those of another process.
    """

    def __init__(
        self,
        budgets: BudgetStore,
        steering: SteeringStore,
        clock: Clock,
        *,
        accounts: Collection[str],
        paused: Callable[[], None],
    ) -> None:
        self._budgets = budgets
        self._accounts = accounts
        self._steering = steering
        self._clock = clock
        self._paused = paused

    def concerns(self, claim: Claim) -> bool:
        """Check if any budget may stop calls of this process for a batch."""
        return claim.has_monthly_budget or not claim.budgeted_accounts.isdisjoint(self._accounts)

    async def may_send(self, batch: Batch, account: str) -> bool:
        """Return whether no reached budget stops calls of the account for the batch; otherwise, pause the batch."""
        now = self._clock.now()
        reached = await self._budgets.reached_budgets(batch.key, now)
        stopping = next((budget for budget in reached if budget.stops(account)), None)
        if stopping is None:
            return True
        await self._steering.steer_batch(batch.workspace, batch.id, pause_for(stopping), by="", now=now)
        self._paused()
        return False
