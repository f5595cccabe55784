"""The worker: claims shards from the queue and runs the requests that it has capacity for."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from batchgate.engine.dispatch.admission import AdmissionControl, LimiterKey
from batchgate.engine.dispatch.batch_caps import BatchCaps
from batchgate.engine.dispatch.budget_check import BudgetCheck
from batchgate.engine.dispatch.budget_gate import BudgetGates
from batchgate.engine.dispatch.call_timer import CallTimer
from batchgate.engine.dispatch.claim_policy import ClaimPolicy
from batchgate.engine.dispatch.executor import Executor
from batchgate.engine.dispatch.run_end import RunEnd
from batchgate.engine.dispatch.shard_extras import ShardExtras
from batchgate.engine.dispatch.shard_run import STORAGE_RETRY, ShardRun
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.clock import MICROSECONDS, ExpiryClock
from batchgate.engine.model.concurrency_cap import ConcurrencyCaps
from batchgate.engine.model.errors import StoreError
from batchgate.engine.model.health_report import Refusal
from batchgate.engine.model.limit_share import LimitShare
from batchgate.engine.model.priority import Contenders
from batchgate.engine.model.shard import QueuedShard
from batchgate.engine.ports.blobs import Blobs
from batchgate.engine.ports.queue import Queue
from batchgate.engine.ports.store import Store
from batchgate.engine.ports.telemetry import Telemetry
from batchgate.engine.support.failpoints import hit_failpoint
from batchgate.engine.support.health_problems import HealthReporter

logger = logging.getLogger(__name__)


class Worker:
    """Claims shards and runs them until they are done."""

    def __init__(
        self,
        *,
        store: Store,
        blobs: Blobs,
        queue: Queue,
        claim_policy: ClaimPolicy,
        executor: Executor,
        clock: ExpiryClock,
        finalize: Callable[[int], None],
        report: HealthReporter,
        telemetry: Telemetry,
        concurrency: int,
        extras: Callable[[Claim], ShardExtras],
        budgets: BudgetCheck,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._queue = queue
        self._claim_policy = claim_policy
        self.executor = executor
        self._clock = clock
        self._finalize = finalize
        self._report = report
        self._telemetry = telemetry
        self._extras = extras
        self._gates = BudgetGates(store, budgets)
        self._caps = BatchCaps()
        self._runs: dict[QueuedShard, ShardRun] = {}
        self._tasks: dict[QueuedShard, asyncio.Task[None]] = {}
        self._held: set[QueuedShard] = set()
        """The jobs that this worker has to complete or release."""
        self._times_lost = 0
        """How often all jobs were lost at once."""
        self._to_reclaim: asyncio.PriorityQueue[QueuedShard] = asyncio.PriorityQueue()
        """Held jobs whose shard is to be claimed again."""
        self._being_claimed: set[QueuedShard] = set()
        self._stopped_during_claims: set[int] = set()
        """The keys of batches that were stopped while shards were being claimed."""
        self._suspended: frozenset[int] = frozenset()
        self._times_steered = 0
        """How often the suspended batches were looked up."""
        self._admission = AdmissionControl(self._resume, requests=claim_policy.capacity(concurrency))
        queue.on_jobs_lost(self._abandon_all)

    @property
    def batches(self) -> frozenset[int]:
        """The keys of the batches that have running or deferred shards here."""
        return frozenset(job.batch_key for job in (*self._runs, *self._admission.deferred))

    @property
    def models(self) -> dict[int, frozenset[LimiterKey]]:
        """The models of accounts that batches have requests for here, by the keys of the batches."""
        found: dict[int, frozenset[LimiterKey]] = {}
        for run in self._runs.values():
            key = run.claim.batch.key
            found[key] = found.get(key, frozenset()) | run.models
        return found

    @property
    def refusals(self) -> dict[int, Refusal]:
        """The latest error of a request that waits for another call, by the key of its batch."""
        latest: dict[int, Refusal] = {}
        for run in self._runs.values():
            key, refusal = run.claim.batch.key, run.last_refusal
            if refusal is not None and (key not in latest or latest[key].at <= refusal.at):
                latest[key] = refusal
        return latest

    async def run(self) -> None:
        """Claim and run shards until cancelled; started runs continue until `drain` or `abort`."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._claim_queued_shards())
            group.create_task(self._reclaim_held_shards())

    def stop_batch(self, batch_key: int, *, expired: bool) -> None:
        """Send no more requests of a batch that was canceled or has expired."""
        self._stopped_during_claims.add(batch_key)
        self._admission.resume_batch(batch_key)
        for run in self._runs.values():
            if run.claim.batch.key == batch_key:
                run.stop(release=False, expired=expired)

    def suspend(self, batch_keys: frozenset[int]) -> None:
        """Send no requests of these batches, and those of all others again; requests in flight finish and count.

        They are paused, or await a new plan. Their jobs are dropped, so that they hold nothing here: shards that are to
        run get jobs again when that is over.
        """
        resumed, self._suspended = self._suspended - batch_keys, batch_keys
        self._times_steered += 1
        for run in self._runs.values():
            if run.claim.batch.key in batch_keys:
                run.pause()
            elif run.claim.batch.key in resumed:
                run.unpause()
        for job in self._held.difference(self._runs, self._being_claimed):
            if job.batch_key in batch_keys:
                self._complete(job)

    @property
    def within_share(self) -> bool:
        """Whether no batch with a concurrency cap has more calls here than its part."""
        return self._caps.within_parts

    def apply_caps(self, caps: ConcurrencyCaps) -> None:
        """Keep to these concurrency caps of batches; requests in flight finish and count."""
        self._keep_to_caps(self._caps.update(caps))

    def set_share(self, share: LimitShare) -> None:
        """Keep to a share of the concurrency caps."""
        self._keep_to_caps(self._caps.set_share(share))

    def _keep_to_caps(self, changed: frozenset[int]) -> None:
        """Let the waiting requests of batches whose part has changed wait anew, or another worker run them."""
        if not changed:
            return
        self._admission.set_caps(self._caps.parts)
        for run in self._runs.values():
            key = run.claim.batch.key
            if key in changed and self._caps.part(key) == 0:
                run.stop(release=True)
            elif key in changed and key not in self._suspended:  # its requests are admitted anew, by the new part
                run.pause()
                run.unpause()
        for key in changed:
            if self._caps.part(key) == 0:
                self._admission.resume_batch(key)

    def release_accounts(self, accounts: Sequence[str]) -> None:
        """Release the running shards that have requests for these accounts, for another worker to run."""
        for run in self._runs.values():
            if any(run.uses(account) for account in accounts):
                run.stop(release=True)

    async def expedite(self, batch_keys: Sequence[int]) -> None:
        """Run the shards of these batches before all others."""
        self._admission.expedite(batch_keys)
        await self._queue.expedite(batch_keys)

    async def set_contenders(self, contenders: Contenders) -> None:
        """Claim and hold shards of these batches by their weights."""
        self._admission.set_contenders(contenders)
        await self._queue.reorder(contenders)

    async def drain(self, shutdown_timeout: float) -> None:
        """Send no more requests, wait ``shutdown_timeout`` seconds for those in flight, and store their results."""
        for run in self._runs.values():
            run.stop(release=True)
        for job in self._held.difference(self._runs):
            self._release(job)
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=shutdown_timeout)
        await self.abort()

    async def abort(self) -> None:
        """Cancel the requests in flight, and store the results of the others."""
        for run in self._runs.values():
            run.abort()
        if self._tasks:
            await asyncio.wait(self._tasks.values())

    async def _claim_queued_shards(self) -> None:
        while True:
            job, times_lost = await self._next_job(), self._times_lost
            if (task := self._tasks.get(job)) is not None:
                await asyncio.wait([task])  # the job was lost, and was dequeued again before its run has ended
            if times_lost == self._times_lost:
                self._held.add(job)
                await self._claim_and_start(job)

    async def _reclaim_held_shards(self) -> None:
        while True:
            job = await self._to_reclaim.get()
            # A job that was dropped meanwhile, because its batch was suspended, may be here again, and run.
            if job in self._held and job not in self._runs and job not in self._being_claimed:
                await self._claim_and_start(job)

    async def _next_job(self) -> QueuedShard:
        """Dequeue the next job, and try again while the queue is unreachable."""
        while True:
            try:
                job = await self._claim_policy.next_job(self._queue, self._admission)
            except StoreError as error:
                self._report("queue", error)
                await asyncio.sleep(STORAGE_RETRY)
            else:
                self._report("queue", None)
                return job

    async def _claim_and_start(self, job: QueuedShard) -> None:
        times_lost, times_steered = self._times_lost, self._times_steered
        try:
            claim = await self._claim(job)
            if times_lost != self._times_lost:
                if claim is not None:  # another worker has the job now, and claims the shard again
                    await self._store.release_shard(claim)
            elif claim is None and times_steered != self._times_steered:
                self._to_reclaim.put_nowait(job)  # its batch may have been resumed
            elif claim is None:
                self._complete(job)
            else:
                hit_failpoint("shard_claimed")
                self._start(job, claim)
        except Exception as error:  # noqa: BLE001 - after any error the shard must run again
            self._retry_later(job, error)

    async def _claim(self, job: QueuedShard) -> Claim | None:
        """Claim a shard, and try again while the store fails; return None if there is nothing left to run."""
        if not self._being_claimed:
            self._stopped_during_claims.clear()
        self._being_claimed.add(job)
        try:
            while True:
                try:
                    claim = await self._store.claim_shard(job)
                except StoreError as error:
                    self._report("claims", error)
                    await asyncio.sleep(STORAGE_RETRY)
                else:
                    self._report("claims", None)
                    return claim
        finally:
            self._being_claimed.discard(job)

    def _start(self, job: QueuedShard, claim: Claim) -> None:
        if self._caps.learn(claim.batch):
            self._keep_to_caps(frozenset({claim.batch.key}))
        run = ShardRun(
            job,
            claim,
            store=self._store,
            blobs=self._blobs,
            executor=self.executor,
            admission=self._admission,
            clock=self._clock,
            report=self._report,
            telemetry=self._telemetry,
            extras=self._extras(claim),
            call_timer=CallTimer(self._clock),
            gate=self._gates.of(claim),
            places=self._caps.places(claim.batch.key),
        )
        if self._is_stopped(claim):
            run.stop(release=False)
        elif claim.batch.key in self._suspended:
            run.pause()
        self._admission.announce(job)
        self._runs[job] = run
        task = asyncio.create_task(self._run(run), name=f"shard {claim.batch.id}/{claim.shard.index}")
        self._tasks[job] = task
        task.add_done_callback(lambda _: self._tasks.pop(job))

    def _is_stopped(self, claim: Claim) -> bool:
        """Return whether the batch is canceled or expired; a cancel may have come after the claim was committed."""
        batch = claim.batch
        canceled = batch.status == "canceling" or batch.key in self._stopped_during_claims
        return canceled or self._clock.has_passed(batch.expires_at)

    async def _run(self, run: ShardRun) -> None:
        started = time.perf_counter()
        waited = (self._clock.now() - run.claim.batch.created_at) / MICROSECONDS
        self._telemetry.shard_claimed(run.claim, waited=waited)
        try:
            end = await run.run()
            self._report("shards", None)
            self._settle(run, end)
        except Exception as error:  # noqa: BLE001 - after any error the shard must run again
            self._admission.forget(run.job)
            self._retry_later(run.job, error)
        finally:
            del self._runs[run.job]
            self._telemetry.shard_released(run.claim, seconds=time.perf_counter() - started)

    def _settle(self, run: ShardRun, end: RunEnd) -> None:
        """Complete, release or keep the job of a run that has ended, unless the job was lost meanwhile."""
        job = run.job
        if end is RunEnd.FINALIZABLE:
            hit_failpoint("last_shard_done")
            self._finalize(run.claim.batch.key)
        if job not in self._held:
            return
        match end:
            case RunEnd.FINALIZABLE | RunEnd.DONE | RunEnd.WITHHELD:
                self._complete(job)
            case RunEnd.PAUSED if job.batch_key in self._suspended:
                self._complete(job)
            case RunEnd.PAUSED:
                self._to_reclaim.put_nowait(job)
            case RunEnd.STOPPED | RunEnd.NO_SHARE | RunEnd.CLAIM_LOST:
                # A lost claim still has to run: the worker that has it now may be one that is considered dead.
                self._claim_policy.on_released()
                self._release(job)
            case RunEnd.NOT_ADMITTED if (backoff := self._claim_policy.backoff_for(job)) is not None:
                self._release(job, delay=backoff)
            case _:
                self._claim_policy.on_progress(job)
                if run.resumed_too_late:
                    self._to_reclaim.put_nowait(job)

    def _complete(self, job: QueuedShard) -> None:
        self._admission.forget(job)
        self._claim_policy.on_progress(job)
        self._held.discard(job)
        self._queue.complete(job)

    def _release(self, job: QueuedShard, *, delay: float = 0.0) -> None:
        self._admission.forget(job)
        self._held.discard(job)
        self._queue.release(job, delay=delay)

    def _abandon_all(self) -> None:
        """Abort all runs: other workers may hold their jobs now, and send requests without a stored result again."""
        self._times_lost += 1
        for job in self._held:
            self._admission.forget(job)
        self._held.clear()
        for run in self._runs.values():
            run.abort()

    def _resume(self, jobs: Sequence[QueuedShard]) -> None:
        """Continue deferred shards: in their run if it has not ended yet, otherwise in a new one."""
        for job in jobs:
            run = self._runs.get(job)
            if run is None:
                self._to_reclaim.put_nowait(job)
            else:
                run.resume()

    def _retry_later(self, job: QueuedShard, error: Exception) -> None:
        """Run a shard again after an internal error: no other worker has it, so its batch would not end otherwise."""
        fields = {"action": "shard_failed", "batch_key": job.batch_key, "shard": job.shard}
        logger.error("a shard failed with an internal error and will run again", exc_info=error, extra=fields)
        self._report("shards", error)
        asyncio.get_running_loop().call_later(STORAGE_RETRY, self._to_reclaim.put_nowait, job)
