"""The engine as a whole: its parts, the tasks that they run in, and how they start and stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from types import TracebackType
from typing import Self

from msgspec import structs

from batchgate.engine.background_services import BackgroundServices
from batchgate.engine.cluster.account_states import AccountStates
from batchgate.engine.cluster.membership import ClusterMember
from batchgate.engine.dependencies import EngineDependencies
from batchgate.engine.dispatch.provider_key_refresh import ProviderKeyRefresh
from batchgate.engine.dispatch.request_reader import RequestReader
from batchgate.engine.lifecycle.batch_estimates import BatchEstimates
from batchgate.engine.lifecycle.batch_looks import BatchLooks
from batchgate.engine.lifecycle.batch_retry import BatchRetry
from batchgate.engine.lifecycle.batch_series import BatchSeries
from batchgate.engine.lifecycle.batches import Batches
from batchgate.engine.lifecycle.clock_watch import ClockWatch
from batchgate.engine.lifecycle.early_quota_check import EarlyQuotaCheck
from batchgate.engine.lifecycle.files import Files
from batchgate.engine.lifecycle.forecasts import Forecasts
from batchgate.engine.lifecycle.scrub import Scrub
from batchgate.engine.lifecycle.steering import BatchSteering
from batchgate.engine.model.batch import Backlog, Batch
from batchgate.engine.model.call_history import CallHistory, combined_history
from batchgate.engine.model.clock import MICROSECONDS
from batchgate.engine.model.errors import StoreError
from batchgate.engine.model.health_report import (
    AccountPause,
    BatchWait,
    HealthProblem,
    bounded_problems,
    find_account_pause,
    find_batch_wait,
    worker_problems,
)
from batchgate.engine.model.model_load import combined_loads
from batchgate.engine.ports.batch_signals import BatchSignals, NoBatchSignals
from batchgate.engine.ports.telemetry import EngineState
from batchgate.engine.results.content_renderer import ContentRenderer
from batchgate.engine.results.merged_results import MergedResults
from batchgate.engine.results.partial_results import PartialResults
from batchgate.engine.results.row_outcomes import RowOutcomes
from batchgate.engine.results.row_pages import RowPages
from batchgate.engine.storage.damaged_blobs import DamagedBlobs
from batchgate.engine.storage.orphan_blobs import OrphanBlobs
from batchgate.engine.storage.storage_probe import StorageProbe
from batchgate.engine.support.cancellation import cancel_all
from batchgate.engine.support.health_problems import HealthProblems
from batchgate.engine.tenancy.usage_reports import UsageReports
from batchgate.engine.webhooks.webhooks import Webhooks

logger = logging.getLogger(__name__)

STOPPING = "stopping: requests in flight may finish, new batches are refused"
NO_WORKER = "no worker is running; batches are accepted and wait for one"


class Engine:
    """Runs batches from the moment it is entered until it is left; then it drains."""

    def __init__(self, needs: EngineDependencies) -> None:
        self.router = needs.router
        self.cluster = needs.cluster
        self._store = needs.store
        self._clock = needs.clock
        self._budgets, self._account_budgets = needs.budgets, needs.account_budgets
        self._shutdown_timeout = needs.shutdown_timeout
        self._problems = HealthProblems(needs.clock)
        self._stopping_since: int | None = None
        orphan_blobs = OrphanBlobs(needs.store, needs.blobs)
        self._probe = StorageProbe(orphan_blobs, self._problems.report)
        self._damaged = DamagedBlobs(needs.scrub, self._problems.report)
        self.contents = ContentRenderer(needs.blobs, self._damaged, needs.rows, needs.translator)
        outcomes = RowOutcomes(needs.blobs, self.contents, needs.rows)
        self._services = None
        if needs.has_worker:
            self._services = BackgroundServices(needs, orphan_blobs, outcomes, self._problems.report)
        signals = self._services or NoBatchSignals()
        self._member = self._cluster_member(needs, signals)
        self._clock_watch = ClockWatch(needs.clock, needs.database_time, self._problems.report)
        self._key_refresh = ProviderKeyRefresh(needs.router)
        self.webhooks = Webhooks(needs.webhooks, needs.clock)
        early_quotas = EarlyQuotaCheck(needs.tenants, needs.clock)
        self.batches = self._batches(needs, early_quotas, orphan_blobs, signals)
        self.steering = self._steering(needs, signals)
        self.estimates = self._estimates(needs)
        self.looks = BatchLooks(needs.store, needs.steering, needs.events, needs.clock)
        self.usage = UsageReports(needs.usage, needs.clock)
        self.accounts = AccountStates(needs.router, needs.cluster, self.usage)
        self.forecasts = Forecasts(needs.clock, needs.router)
        self.retries = BatchRetry(
            store=needs.store,
            batches=self.batches,
            outcomes=outcomes,
            rows=needs.rows,
            without_account=needs.router.without_account,
            unknown_prefix=needs.router.unknown_prefix,
            webhook_refusal=self.webhooks.refusal_of_batch,
        )
        self.merged_results = MergedResults(needs.store, self.contents, needs.rows)
        self.partial_results = PartialResults(needs.store, self.contents)
        self.row_pages = RowPages(needs.store, needs.blobs, needs.rows)
        self.series = BatchSeries(needs.store, needs.clock)
        self._scrub = self._create_scrub(needs)
        self._scrubbing: asyncio.Task[None] | None = None
        self.files = Files(
            store=needs.store,
            early_quotas=early_quotas,
            contents=self.contents,
            orphan_blobs=orphan_blobs,
            clock=needs.clock,
        )
        self._working: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def problems(self) -> tuple[HealthProblem, ...]:
        """The present problems, bounded; a gateway without a worker adds those of all workers."""
        own = (*self._problems.current(), *(pause.problem for pause in self.router.pauses))
        workers = worker_problems(self.cluster.other_workers) if self._services is None else ()
        return bounded_problems((*self._role_problems(), *own, *workers))

    def pause(self, batch: Batch) -> AccountPause | None:
        """Return why requests of a batch wait for an account or a model: here, or at the other workers."""
        if self._services is not None:
            return self.router.paused(batch)
        others = find_batch_wait(self.cluster.other_workers, batch.key)
        return others.paused or find_account_pause(self.cluster.other_workers, self.router.accounts_of(batch))

    def wait(self, batch: Batch) -> BatchWait:
        """Return why requests of a batch wait: here, and at the other workers as they last reported it."""
        others = find_batch_wait(self.cluster.other_workers, batch.key)
        if self._services is None:
            return structs.replace(others, paused=self.pause(batch))
        worker = self._services.worker
        own = self.router.loads(sorted(worker.models.get(batch.key, ())))
        return BatchWait(
            paused=self.pause(batch),
            refusal=worker.refusals.get(batch.key) or others.refusal,
            loads=combined_loads((*own, *others.loads)),
        )

    async def state(self) -> EngineState:
        """Read the present state of the engine, as far as the store answers."""
        backlog = await self._backlog()
        since = backlog.waiting_since if backlog else None
        waiting = 0 if since is None else max(0, self._clock.now() - since)
        pauses = self.router.pauses
        return EngineState(
            limiters=self.router.limiters,
            pauses=pauses,
            backlog=backlog,
            waiting_seconds=waiting / MICROSECONDS,
            problems=len(self._problems) + len(pauses),
            damaged_blobs=len(self._damaged),
            workers=self.cluster.workers,
        )

    async def __aenter__(self) -> Self:
        """Read the providers' keys, resume unfinished work, and start; raises `ConfigurationError`."""
        await self.router.read_keys()
        await self._clock_watch.check()  # before anything is judged by the time
        await self._budgets.set_account_budgets(self._account_budgets, self._clock.now())
        if self._services is not None:
            await self._services.resume()
        # The cluster first: it decides how much the worker may send.
        self._start("cluster", self.cluster.run(self._member))
        self._start("clock", self._clock_watch.run())
        self._start("storage probe", self._probe.run())
        self._start("key refresh", self._key_refresh.run())
        self._scrubbing = self._start("scrub", self._scrub.run())
        if self._services is not None:
            self._working = self._start("worker", self._services.worker.run())
            for name, run in self._services.tasks.items():
                self._start(name, run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drain, then stop all tasks."""
        await self.drain()
        await cancel_all(self._tasks)

    async def drain(self) -> None:
        """Refuse new batches and claim nothing more; let calls in flight finish within the timeout."""
        self._stopping_since = self._stopping_since or self._clock.now()
        self.batches.close()
        if self._scrubbing is not None:
            await cancel_all([self._scrubbing])
        if self._services is not None and self._working is not None:
            await cancel_all([self._working])
            await self._services.worker.drain(self._shutdown_timeout)

    async def abort(self) -> None:
        """End a drain at once: cancel the calls in flight, and write the results that are there."""
        self._shutdown_timeout = 0.0
        if self._services is not None:
            await self._services.worker.abort()

    def _cluster_member(self, needs: EngineDependencies, signals: BatchSignals) -> ClusterMember:
        return ClusterMember(
            store=needs.store,
            clock=needs.clock,
            router=needs.router,
            signals=signals,
            worker=None if self._services is None else self._services.worker,
            running=lambda: () if self._services is None else self._services.batches,
            problems=self._problems,
        )

    def _create_scrub(self, needs: EngineDependencies) -> Scrub:
        return Scrub(
            store=needs.scrub,
            blobs=needs.blobs,
            damaged=self._damaged,
            clock=needs.clock,
            cluster=needs.cluster,
            report=self._problems.report,
            bytes_per_second=needs.scrub_bytes_per_second,
            does_rounds=needs.has_worker,
        )

    def _batches(
        self,
        needs: EngineDependencies,
        early_quotas: EarlyQuotaCheck,
        orphan_blobs: OrphanBlobs,
        signals: BatchSignals,
    ) -> Batches:
        return Batches(
            store=needs.store,
            early_quotas=early_quotas,
            orphan_blobs=orphan_blobs,
            probe=self._probe,
            queue=needs.queue,
            clock=needs.clock,
            signals=signals,
            searchable_names=needs.router.searchable_names,
            needs_plan=needs.router.needs_plan,
            decided=needs.router.decided,
            unplanned_lanes=needs.router.unplanned_lanes,
            check_webhook=self.webhooks.check_url_of_batch,
            account_without_price=needs.router.account_without_price,
            fail_fast=needs.fail_fast,
            telemetry=needs.telemetry,
        )

    def _steering(self, needs: EngineDependencies, signals: BatchSignals) -> BatchSteering:
        return BatchSteering(
            store=needs.store,
            steering=needs.steering,
            budgets=needs.budgets,
            probe=self._probe,
            clock=needs.clock,
            signals=signals,
        )

    def _estimates(self, needs: EngineDependencies) -> BatchEstimates:
        return BatchEstimates(
            batches=self.batches,
            blobs=needs.blobs,
            requests=RequestReader(needs.router, needs.rows),
            translator=needs.translator,
            file_reader=needs.file_reader,
            router=needs.router,
            history=self._call_history,
            clock=needs.clock,
        )

    def _call_history(self) -> CallHistory:
        """Return what the calls of this process have shown, or without a worker those of the workers."""
        if self._services is not None:
            return self._services.worker.executor.history
        return combined_history(worker.report.history for worker in self.cluster.other_workers)

    def _role_problems(self) -> tuple[HealthProblem, ...]:
        """List the problems of the process's role: it is stopping, or no process has a worker."""
        problems = []
        if self._stopping_since is not None:
            since = self._stopping_since
            problems.append(HealthProblem(code="stopping", component="gateway", since=since, message=STOPPING))
        if self.cluster.no_worker_since is not None:
            since = self.cluster.no_worker_since
            problems.append(HealthProblem(code="no_worker", component="workers", since=since, message=NO_WORKER))
        return tuple(problems)

    def _start(self, name: str, run: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(run, name=name)
        task.add_done_callback(self._report_crash)
        self._tasks.append(task)
        return task

    async def _backlog(self) -> Backlog | None:
        try:
            return await self._store.backlog()
        except StoreError:
            return None

    def _report_crash(self, task: asyncio.Task[None]) -> None:
        """Report a task that failed: its component is down until the process starts again."""
        if not task.cancelled() and task.exception() is not None:
            fields = {"action": "component_crashed", "component": task.get_name()}
            logger.critical("%s has crashed", task.get_name(), exc_info=task.exception(), extra=fields)
            self._problems.report_crash(task.get_name())
