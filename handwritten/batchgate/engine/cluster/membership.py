"""The process as a member of its cluster: acts on events of other processes and stays within its share of limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from batchgate.engine.dispatch.router import Router
from batchgate.engine.dispatch.worker import Worker
from batchgate.engine.model.call_history import CallHistory
from batchgate.engine.model.clock import ExpiryClock
from batchgate.engine.model.health_report import MAX_PROBLEMS, BatchWait, HealthReport, bounded_report
from batchgate.engine.model.limit_share import LimitShare
from batchgate.engine.ports.batch_signals import BatchSignals
from batchgate.engine.ports.batch_store import BatchStore
from batchgate.engine.ports.cluster import ClusterEvent
from batchgate.engine.support.health_problems import HealthProblems


class ClusterMember:
    """The engine as the `ClusterListener` of its cluster."""

    def __init__(
        self,
        *,
        store: BatchStore,
        clock: ExpiryClock,
        router: Router,
        signals: BatchSignals,
        worker: Worker | None,
        running: Callable[[], Iterable[int]],
        problems: HealthProblems,
    ) -> None:
        self._store = store
        self._clock = clock
        self._router = router
        self._signals = signals
        self._worker = worker
        self._running = running
        """Returns the keys of the batches that this process runs."""
        self._problems = problems

    @property
    def within_share(self) -> bool:
        """Whether the calls in flight do not exceed the share."""
        return self._router.within_share and (self._worker is None or self._worker.within_share)

    @property
    def health_report(self) -> HealthReport:
        """The problems of this process; a graceful stop is none, and is not reported."""
        problems = (*self._problems.current(), *(pause.problem for pause in self._router.pauses))
        history = CallHistory() if self._worker is None else self._worker.executor.history
        accounts = self._router.account_loads()
        return bounded_report(problems, self._router.paused_accounts, self._waiting(), accounts, history)

    def on_event(self, event: ClusterEvent, batch_key: int) -> None:
        """Act on an event that another process published for a batch."""
        match event:
            case "stop_sending":
                self._signals.stop_sending(batch_key)
            case "expire":
                self._signals.stop_sending(batch_key, expired=True)
            case "steer":
                self._signals.steer()
            case "finalize":
                self._signals.finalize(batch_key)
            case "validate":
                self._signals.validate(batch_key)

    async def catch_up(self) -> None:
        """Stop sending for running batches that were canceled or ended meanwhile; the sweeper finds the rest."""
        self._signals.steer()
        for key in self._running():
            batch = await self._store.find_batch_by_key(key)
            if batch is None or batch.status != "in_progress":
                self._signals.stop_sending(key)
            elif self._clock.has_passed(batch.expires_at):
                self._signals.stop_sending(key, expired=True)

    def set_share(self, share: LimitShare, until: float) -> None:
        """Apply a share of the limits, and release the shards of accounts that have no share here."""
        self._router.set_share(share, until)
        if self._worker is not None:
            self._worker.set_share(share)
            self._worker.release_accounts(self._router.accounts_without_share)

    def report_connection(self, error: Exception | None) -> None:
        """Record that the other processes are unreachable, or with None that they are reachable again."""
        self._problems.report("cluster", error)

    def _waiting(self) -> dict[int, BatchWait]:
        """List the batches that run here: those with the latest refusals first, then those that wait for an account."""
        if self._worker is None:
            return {}
        pauses, refusals, models = self._router.paused_batches, self._worker.refusals, self._worker.models
        ordered = [*sorted(refusals, key=lambda key: refusals[key].at, reverse=True), *pauses, *models]
        keys = tuple(dict.fromkeys(ordered))[:MAX_PROBLEMS]
        return {
            key: BatchWait(
                paused=pauses.get(key), refusal=refusals.get(key), loads=self._router.loads(sorted(models.get(key, ())))
            )
            for key in keys
        }
