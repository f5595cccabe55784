"""The background services of a process with a worker: worker, finalizer, file validator, sweeper and others."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial

from batchgate.engine.dependencies import EngineDependencies
from batchgate.engine.dispatch.budget_check import BudgetCheck
from batchgate.engine.dispatch.executor import Executor
from batchgate.engine.dispatch.shard_extras import ShardExtras
from batchgate.engine.dispatch.worker import Worker
from batchgate.engine.intake.file_validation import FileValidator
from batchgate.engine.lifecycle.account_budgets import AccountBudgets
from batchgate.engine.lifecycle.steering_watch import SteeringWatch
from batchgate.engine.lifecycle.sweeper import Sweeper
from batchgate.engine.lifecycle.task_cleanup import TaskCleanup
from batchgate.engine.lifecycle.usage_retention import UsageRetention
from batchgate.engine.model.priority import Contenders
from batchgate.engine.native.job_record import NativeServices
from batchgate.engine.native.native_jobs import MAX_TRANSFERS, NativeJobs
from batchgate.engine.native.planner import NativePlanner
from batchgate.engine.results.finalizer import Finalizer
from batchgate.engine.results.request_hashes import RequestHashes
from batchgate.engine.results.result_reuse import ResultReuse
from batchgate.engine.results.row_outcomes import RowOutcomes
from batchgate.engine.storage.orphan_blobs import OrphanBlobs
from batchgate.engine.support.health_problems import HealthReporter
from batchgate.engine.webhooks.deliverer import WebhookDeliverer


class BackgroundServices:
    """Builds and connects the services; signals about a batch (`BatchSignals`) reach them through this class."""

    def __init__(
        self, needs: EngineDependencies, orphan_blobs: OrphanBlobs, outcomes: RowOutcomes, report: HealthReporter
    ) -> None:
        self._router = needs.router
        self._queue = needs.queue
        self.finalizer = _finalizer(needs, orphan_blobs, report)
        budgets = BudgetCheck(
            needs.budgets, needs.steering, needs.clock, accounts=needs.router.account_names, paused=self.steer
        )
        self.worker = _worker(needs, self.finalizer, orphan_blobs, budgets, report)
        self.task_cleanup = TaskCleanup(needs.store, needs.router, needs.clock, needs.cluster, report)
        self.native_jobs = _native_jobs(needs, self.worker.executor, budgets, report)
        self._reuse = _reuse(needs, outcomes, paused=self.steer)
        self.planner = _planner(
            needs, self.worker.executor, self._reuse, self.native_jobs, steer=self.steer, report=report
        )
        self.validator = _validator(needs, orphan_blobs, self.planner, report)
        self.sweeper = self._sweeper(needs, orphan_blobs, report)
        self.steering = SteeringWatch(
            steering=needs.steering,
            suspend=self._suspend,
            apply_caps=self.worker.apply_caps,
            apply_contenders=self._apply_contenders,
            batches_with_jobs=lambda: self.native_jobs.batches,
            wake_jobs=self.native_jobs.wake_batch,
            enqueue_missing=needs.queue.enqueue_missing,
            report=report,
        )
        needs.steering.notify_on_pause(self.steering.look)
        self.webhooks = _webhooks(needs, report)

    @property
    def tasks(self) -> Mapping[str, Callable[[], Coroutine[None, None, None]]]:
        """The services that run from start to stop, by name; the worker, which drains first, is not among them."""
        return {
            "finalizer": self.finalizer.run,
            "validator": self.validator.run,
            "planner": self.planner.run,
            "native jobs": self.native_jobs.run,
            "sweeper": self.sweeper.run,
            "task clean-up": self.task_cleanup.run,
            "steering": self.steering.run,
            "webhooks": self.webhooks.run,
        }

    @property
    def batches(self) -> frozenset[int]:
        """The keys of the batches that this process runs, in either lane."""
        return self.native_jobs.batches.union(self.worker.batches)

    async def resume(self) -> None:
        """Continue what stopped processes left unfinished."""
        await self._queue.enqueue_missing()
        await self.sweeper.signal_waiting_batches()

    async def expedite(self, batch_keys: Sequence[int]) -> None:
        """Move these batches before all others, in the queue and in every wait queue of this process."""
        self._router.expedite(batch_keys)
        await self.worker.expedite(batch_keys)

    def stop_sending(self, batch_key: int, *, expired: bool = False) -> None:
        """Send no more requests of a batch; if it is suspended, its shards need jobs again to be ended."""
        self.worker.stop_batch(batch_key, expired=expired)
        self.native_jobs.wake_batch(batch_key)
        self.task_cleanup.look()
        if batch_key in self.steering.suspended:
            self.steering.look()

    def steer(self) -> None:
        """Apply what was done to any batch."""
        self.steering.look()

    def finalize(self, batch_key: int) -> None:
        """Write the result file of a batch whose shards are all done."""
        self.finalizer.add(batch_key)

    def validate(self, batch_key: int) -> None:
        """Validate the file of a batch."""
        self.validator.add(batch_key)

    def plan(self, batch_key: int) -> None:
        """Plan the lanes of a batch."""
        self.planner.add(batch_key)

    def _suspend(self, batch_keys: frozenset[int]) -> None:
        self.worker.suspend(batch_keys)
        self._queue.withdraw(batch_keys)

    async def _apply_contenders(self, contenders: Contenders) -> None:
        self._router.set_contenders(contenders)
        await self.worker.set_contenders(contenders)

    def _sweeper(self, needs: EngineDependencies, orphan_blobs: OrphanBlobs, report: HealthReporter) -> Sweeper:
        return Sweeper(
            store=needs.store,
            orphan_blobs=orphan_blobs,
            clock=needs.clock,
            cluster=needs.cluster,
            stop_sending=partial(self.stop_sending, expired=True),
            finalize=self.finalize,
            validate=self.validate,
            plan=self.plan,
            expedite=self.expedite,
            enqueue_missing=needs.queue.enqueue_missing,
            usage=UsageRetention(needs.usage, needs.usage_retention_days),
            budgets=AccountBudgets(needs.budgets, needs.account_budgets, report),
            report=report,
        )


def _finalizer(needs: EngineDependencies, orphan_blobs: OrphanBlobs, report: HealthReporter) -> Finalizer:
    return Finalizer(
        store=needs.store,
        blobs=needs.blobs,
        orphan_blobs=orphan_blobs,
        rows=needs.rows,
        clock=needs.clock,
        cluster=needs.cluster,
        report=report,
        telemetry=needs.telemetry,
    )


def _worker(
    needs: EngineDependencies,
    finalizer: Finalizer,
    orphan_blobs: OrphanBlobs,
    budgets: BudgetCheck,
    report: HealthReporter,
) -> Worker:
    extras = partial(
        ShardExtras,
        store=needs.store,
        orphan_blobs=orphan_blobs,
        clock=needs.clock,
        max_output_bytes=needs.max_output_bytes,
        report=report,
    )
    return Worker(
        store=needs.store,
        blobs=needs.blobs,
        queue=needs.queue,
        claim_policy=needs.claim_policy,
        executor=Executor(
            needs.router,
            needs.rows,
            needs.translator,
            random.Random(needs.seed),
            needs.telemetry,
            clock=needs.clock,
        ),
        clock=needs.clock,
        finalize=finalizer.add,
        report=report,
        telemetry=needs.telemetry,
        concurrency=needs.router.concurrency,
        extras=extras,
        budgets=budgets,
    )


def _webhooks(needs: EngineDependencies, report: HealthReporter) -> WebhookDeliverer:
    return WebhookDeliverer(
        ports=needs.webhooks,
        clock=needs.clock,
        cluster=needs.cluster,
        rng=random.Random(needs.seed),
        report=report,
        telemetry=needs.telemetry,
    )


def _native_jobs(
    needs: EngineDependencies, executor: Executor, budgets: BudgetCheck, report: HealthReporter
) -> NativeJobs:
    rng = random.Random(needs.seed)
    services = NativeServices(
        store=needs.store,
        blobs=needs.blobs,
        queue=needs.queue,
        router=needs.router,
        executor=executor,
        budgets=budgets,
        clock=needs.clock,
        rng=rng,
        report=report,
        telemetry=needs.telemetry,
        transfers=asyncio.Semaphore(MAX_TRANSFERS),
    )
    return NativeJobs(services, needs.cluster)


def _reuse(needs: EngineDependencies, outcomes: RowOutcomes, *, paused: Callable[[], None]) -> ResultReuse:
    return ResultReuse(
        store=needs.store,
        steering=needs.steering,
        blobs=needs.blobs,
        rows=needs.rows,
        outcomes=outcomes,
        hashes=RequestHashes(needs.rows, needs.router.resolve),
        clock=needs.clock,
        telemetry=needs.telemetry,
        paused=paused,
    )


def _planner(
    needs: EngineDependencies,
    executor: Executor,
    reuse: ResultReuse,
    native_jobs: NativeJobs,
    *,
    steer: Callable[[], None],
    report: HealthReporter,
) -> NativePlanner:
    return NativePlanner(
        store=needs.store,
        blobs=needs.blobs,
        queue=needs.queue,
        executor=executor,
        reuse=reuse.apply,
        clock=needs.clock,
        cluster=needs.cluster,
        planned=native_jobs.look,
        steer=steer,
        report=report,
        telemetry=needs.telemetry,
    )


def _validator(
    needs: EngineDependencies, orphan_blobs: OrphanBlobs, planner: NativePlanner, report: HealthReporter
) -> FileValidator:
    return FileValidator(
        store=needs.store,
        blobs=needs.blobs,
        orphan_blobs=orphan_blobs,
        queue=needs.queue,
        reader=needs.file_reader,
        searchable_names=needs.router.searchable_names,
        unknown_prefix=needs.router.unknown_prefix,
        plan=planner.add,
        clock=needs.clock,
        cluster=needs.cluster,
        report=report,
        telemetry=needs.telemetry,
    )
