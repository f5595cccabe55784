"""The process as one of several: passes on what it hears from its peers, and keeps to its share of the limits."""

from __future__ import annotations

from batchgate.engine.batch import Batch
from batchgate.engine.clock import Clock
from batchgate.engine.condition import Condition, published
from batchgate.engine.hands import Hands
from batchgate.engine.peers import Event
from batchgate.engine.ports import Store
from batchgate.engine.problems import Problems
from batchgate.engine.routing import Router
from batchgate.engine.shares import Share
from batchgate.engine.worker import Worker


class Membership:
    """The engine as the `Listener` of its peers."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        router: Router,
        hands: Hands,
        worker: Worker | None,
        problems: Problems,
    ) -> None:
        self._store = store
        self._clock = clock
        self._router = router
        self._hands = hands
        self._worker = worker
        self._problems = problems

    @property
    def fits(self) -> bool:
        """Whether no more calls are under way than are of the share."""
        return self._router.fits

    @property
    def condition(self) -> Condition:
        """What is not well here. That it is stopping is no fault, and is not said to others."""
        problems = (*self._problems.sentences(), *self._router.problems)
        return published(problems, self._router.paused_accounts)

    def heard(self, event: Event, batch_key: int) -> None:
        """Do what is to be done for a batch."""
        match event:
            case "halt":
                self._hands.halt(batch_key)
            case "seal":
                self._hands.seal(batch_key)
            case "validate":
                self._hands.validate(batch_key)

    async def catch_up(self) -> None:
        """Halt what runs here and was canceled or has ended meanwhile; the rest is found by the sweeper."""
        for key in self._worker.batches if self._worker is not None else ():
            batch = await self._store.batch_by_key(key)
            if batch is None or self._is_over(batch):
                self._hands.halt(key)

    def keep_to(self, share: Share, until: float) -> None:
        """Keep to a share of the limits, and give back what has no share at all."""
        self._router.keep_to(share, until)
        if self._worker is not None:
            self._worker.put_back(self._router.barred)

    def report(self, error: Exception | None) -> None:
        """Say whether the others are out of reach."""
        self._problems.report("peers", error)

    def _is_over(self, batch: Batch) -> bool:
        return batch.status != "in_progress" or self._clock.now() >= batch.expires_at
