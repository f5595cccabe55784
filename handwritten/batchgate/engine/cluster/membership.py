"""The process as one of several: passes on what it hears from its peers, and keeps to its share of the limits."""

from __future__ import annotations

from batchgate.engine.dispatch.router import Router
from batchgate.engine.dispatch.worker import Worker
from batchgate.engine.model.batch import Batch
from batchgate.engine.model.clock import Clock
from batchgate.engine.model.health_report import HealthReport, bounded_report
from batchgate.engine.model.limit_share import LimitShare
from batchgate.engine.ports.batch_signals import BatchSignals
from batchgate.engine.ports.cluster import ClusterEvent
from batchgate.engine.ports.store import Store
from batchgate.engine.support.health_problems import HealthProblems


class ClusterMember:
    """The engine as the `Listener` of its peers."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        router: Router,
        signals: BatchSignals,
        worker: Worker | None,
        problems: HealthProblems,
    ) -> None:
        self._store = store
        self._clock = clock
        self._router = router
        self._signals = signals
        self._worker = worker
        self._problems = problems

    @property
    def within_share(self) -> bool:
        """Whether no more calls are under way than are of the share."""
        return self._router.within_share

    @property
    def health_report(self) -> HealthReport:
        """What is not well here. That it is stopping is no fault, and is not said to others."""
        problems = (*self._problems.sentences(), *self._router.problems)
        return bounded_report(problems, self._router.paused_accounts)

    def on_event(self, event: ClusterEvent, batch_key: int) -> None:
        """Do what is to be done for a batch."""
        match event:
            case "stop_sending":
                self._signals.stop_sending(batch_key)
            case "finalize":
                self._signals.finalize(batch_key)
            case "validate":
                self._signals.validate(batch_key)

    async def catch_up(self) -> None:
        """Halt what runs here and was canceled or has ended meanwhile; the rest is found by the sweeper."""
        for key in self._worker.batches if self._worker is not None else ():
            batch = await self._store.find_batch_by_key(key)
            if batch is None or self._is_over(batch):
                self._signals.stop_sending(key)

    def set_share(self, share: LimitShare, until: float) -> None:
        """Keep to a share of the limits, and give back what has no share at all."""
        self._router.set_share(share, until)
        if self._worker is not None:
            self._worker.put_back(self._router.without_share)

    def report_connection(self, error: Exception | None) -> None:
        """Say whether the others are out of reach."""
        self._problems.report("peers", error)

    def _is_over(self, batch: Batch) -> bool:
        return batch.status != "in_progress" or self._clock.now() >= batch.expires_at
