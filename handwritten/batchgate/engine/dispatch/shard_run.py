"""A run of one claimed shard: runs its requests concurrently and stores their results in chunks."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from functools import partial

from batchgate.engine.dispatch.admission import AdmissionControl, CapacityKey, LimiterKey, RequestLoad
from batchgate.engine.dispatch.batch_caps import CallPlaces
from batchgate.engine.dispatch.budget_gate import BudgetGate
from batchgate.engine.dispatch.call_timer import CallTimer
from batchgate.engine.dispatch.executor import Executor
from batchgate.engine.dispatch.prepared_request import PreparedRequest
from batchgate.engine.dispatch.result_buffer import ResultBuffer
from batchgate.engine.dispatch.run_end import RunEnd
from batchgate.engine.dispatch.shard_extras import ShardExtras
from batchgate.engine.dispatch.waiting_refusals import WaitingRefusals
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.clock import Clock
from batchgate.engine.model.errors import BlobError, LostBlob, StaleClaim, StoreError
from batchgate.engine.model.health_report import Refusal
from batchgate.engine.model.shard import QueuedShard, ResultChunk, ResultLine, chunk_of
from batchgate.engine.ports.blobs import Blobs
from batchgate.engine.ports.store import Store
from batchgate.engine.ports.telemetry import Telemetry
from batchgate.engine.storage.input_lines import read_input_lines
from batchgate.engine.support.failpoints import hit_failpoint
from batchgate.engine.support.health_problems import HealthReporter

logger = logging.getLogger(__name__)

STORAGE_RETRY = 1.0  # seconds between attempts when storage fails


class ShardRun:
    """Runs the requests of a claim. After `stop` it sends no more, but calls in flight still finish and count."""

    def __init__(
        self,
        job: QueuedShard,
        claim: Claim,
        *,
        store: Store,
        blobs: Blobs,
        executor: Executor,
        admission: AdmissionControl,
        clock: Clock,
        report: HealthReporter,
        telemetry: Telemetry,
        extras: ShardExtras,
        call_timer: CallTimer,
        gate: BudgetGate | None,
        places: CallPlaces,
    ) -> None:
        self.job = job
        self.claim = claim
        self.resumed_too_late = False
        """Whether the rest of the shard was resumed when this run was already ending: it needs another run."""
        self._stopped = self._paused = False
        self._store = store
        self._blobs = blobs
        self._executor = executor
        self._admission = admission
        self._clock = clock
        self._report = report
        self._telemetry = telemetry
        self._extras = extras
        self._call_timer = call_timer
        self._gate = gate
        self._places = places
        self._results = ResultBuffer(gate)
        self._waiting: dict[asyncio.Task[None], int] = {}
        """The tasks whose calls are not in flight, with the seqs of their requests."""
        self._sending: set[asyncio.Task[None]] = set()
        self._remaining = set(claim.shard.seqs)
        """The seqs of the requests that have neither been admitted nor got a result."""
        self._remaining -= claim.finished | claim.withheld
        self._unanswered = len(self._remaining)
        self._group = asyncio.TaskGroup()
        self._open_tasks = 0
        self._all_tasks_closed = asyncio.Event()
        self._ending = False
        self._release_wanted = False
        self._results_dropped = False
        self._made_progress = False
        self._deferred = False
        self._expired = False
        self._refusals = WaitingRefusals()
        self.models: set[LimiterKey] = set()
        """The models of accounts that requests were admitted for."""
        self._aborted = asyncio.Event()

    def uses(self, account: str) -> bool:
        """Return whether requests were admitted for an account."""
        return any(name == account for name, _ in self.models)

    @property
    def last_refusal(self) -> Refusal | None:
        """The latest error of a request that waits for another call."""
        return self._refusals.latest

    def stop(self, *, release: bool, expired: bool = False) -> None:
        """Send no more requests; with ``release`` the shard is left for a later run, otherwise it is done as it is.

        ``expired``: the batch has expired, so the requests that wait get results with their last refusal.
        """
        self._expired = self._expired or (expired and not self._stopped)
        self._stopped = True
        self._release_wanted = self._release_wanted or release
        for task in self._waiting:
            task.cancel()

    def pause(self) -> None:
        """Send no more requests until `unpause`; those that wait get no result, and remain."""
        if self._paused or self._stopped:
            return
        self._paused, self._deferred = True, False
        self._admission.forget(self.job)
        for task in tuple(self._waiting):
            self._put_back(task)

    def unpause(self) -> None:
        """Send the remaining requests, as far as there is capacity for them."""
        if self._paused and not self._stopped:
            self._paused = False
            self._call_timer.reset()
            self.resume()

    def _put_back(self, task: asyncio.Task[None]) -> None:
        """Cancel a task whose call is not in flight; its request remains, unless it is ending with a result."""
        self._remaining.add(self._waiting.pop(task))
        task.cancel()

    def abort(self) -> None:
        """Cancel the calls in flight too; store the results so far, and leave the rest for a later run."""
        self.stop(release=True)
        self._aborted.set()
        for task in self._sending:
            task.cancel()

    async def run(self) -> RunEnd:
        """Run the requests that there is capacity for, and return how the run ended."""
        async with self._extras:
            return await self._run()

    async def _run(self) -> RunEnd:
        try:
            async with self._group:
                self._group.create_task(self._flush_results())
                self.resume()
                while self._open_tasks:  # tasks may have been opened since the last one was closed
                    self._all_tasks_closed.clear()
                    await self._all_tasks_closed.wait()
                self._ending = True
                self._results.end()
            return await self._finish()
        except* StaleClaim:
            self._admission.forget(self.job)
            self.resumed_too_late = False
            batch, shard = self.claim.batch.id, self.claim.shard.index
            fields = {"action": "shard_lost", "batch": batch, "shard": shard}
            message = "another worker has claimed shard %d of %s; the latest results of this run were not stored"
            logger.warning(message, shard, batch, extra=fields)
        finally:
            self._results.settle(self._results.take()[1])  # calls of other shards wait for what is not stored
        return RunEnd.CLAIM_LOST

    def resume(self) -> None:
        """Admit and run remaining requests: at the start, and each time there is capacity again."""
        if self._ending:
            self.resumed_too_late = True
        else:
            self._group.create_task(self._start_requests())
            self._open_tasks += 1

    async def _start_requests(self) -> None:
        try:
            await self._extras.read_tasks_of_moved_batch(lambda: self._is_held_back)
            for request, key, size in self._admit(await self._read_remaining()):
                self._open_tasks += 1
                task = self._group.create_task(self._run_request(request))
                # Not at the end of the task itself: a task that is cancelled before it starts does not reach its end.
                task.add_done_callback(partial(self._on_request_end, key, size))
        except BaseException:
            self._ending = True  # the group ends, and accepts no more tasks
            raise
        finally:
            self._close_task()

    def _on_request_end(self, key: CapacityKey, size: int, _task: asyncio.Task[None]) -> None:
        try:
            self._admission.release(key, size)
        finally:
            self._close_task()

    def _close_task(self) -> None:
        self._open_tasks -= 1
        if not self._open_tasks:
            self._all_tasks_closed.set()

    @property
    def _is_held_back(self) -> bool:
        """Whether no request may be sent now."""
        return self._stopped or self._paused

    async def _read_remaining(self) -> list[tuple[int, bytes]]:
        """Read the input lines of the remaining requests, and try again while storage fails."""
        lines: list[tuple[int, bytes]] | None = None
        shard = f"{self.claim.batch.id}/{self.claim.shard.index}"
        while self._remaining and lines is None and not self._is_held_back:
            try:
                lines = await read_input_lines(self._blobs, self.claim)
            except BlobError as error:
                self._admission.forget(self.job)
                self._report("input", error, of=shard)
                await asyncio.sleep(STORAGE_RETRY)
        self._report("input", None, of=shard)
        return [(seq, line) for seq, line in lines or () if seq in self._remaining]

    def _admit(self, lines: list[tuple[int, bytes]]) -> list[tuple[PreparedRequest, CapacityKey, int]]:
        """Return the requests that there is capacity for, with this and the sizes of their lines; defer the others."""
        if self._is_held_back:
            self._admission.forget(self.job)
            return []
        admission = self._admission
        admission.use_reservation(self.job)
        admitted: list[tuple[PreparedRequest, CapacityKey, int]] = []
        demand: dict[CapacityKey, RequestLoad] = {}
        for seq, line in lines:
            request = self._executor.prepare_call(self.claim.batch, seq, line, was_sent=self._extras.has_task(seq))
            if isinstance(request, ResultLine):
                self._remaining.remove(seq)
                self._add_result(request)
            elif not (self._places.has_part and self._executor.has_share(request)):
                continue
            elif admission.try_admit(key := admission.capacity_key(request.route.key, self.job.batch_key), len(line)):
                self._remaining.remove(seq)
                admitted.append((request, key, len(line)))
            else:
                demand.setdefault(key, RequestLoad()).add(1, len(line))
        self.models.update(request.route.key for request, _, _ in admitted)
        self._made_progress = self._made_progress or len(lines) > len(self._remaining)
        self._deferred = bool(demand)
        if demand:
            admission.defer(self.job, demand)
        return admitted

    async def _finish(self) -> RunEnd:
        """Store the last results, and mark the shard done or release the claim."""
        if not self._stopped and not self._remaining and self._unanswered:
            raise RuntimeError(f"{self._unanswered} requests ended without a result")
        done = not (self._release_wanted and self._unanswered) if self._stopped else not self._remaining
        if done and self.claim.withheld:
            return await self._hold()
        if self._stopped:
            self._admission.forget(self.job)
        if done and self._expired:
            self._add_expired()
        finalizable = await self._flush(shard_done=done)
        if done and not self._results_dropped:
            return RunEnd.FINALIZABLE if finalizable else RunEnd.DONE
        if self._stopped:
            return await self._release_stopped()
        await self._store.release_shard(self.claim)
        if self._paused:
            return RunEnd.PAUSED
        if not self._deferred:
            return RunEnd.NO_SHARE
        return RunEnd.DEFERRED if self._made_progress else RunEnd.NOT_ADMITTED

    async def _hold(self) -> RunEnd:
        """Store the last results, and leave the shard to the jobs that have its other requests."""
        self._admission.forget(self.job)
        if self._expired:
            self._add_expired()
        await self._flush(shard_done=False)
        if self._results_dropped:
            return await self._release_stopped()
        return RunEnd.WITHHELD if await self._store.hold_shard(self.claim) else RunEnd.STOPPED

    async def _release_stopped(self) -> RunEnd:
        """Release the claim once, whether or not the store fails: the next claim is valid without that."""
        self._admission.forget(self.job)
        with suppress(StoreError):
            await self._store.release_shard(self.claim)
        return RunEnd.STOPPED

    async def _run_request(self, request: PreparedRequest) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._waiting[task] = request.seq
        try:
            if self._paused:
                self._remaining.add(request.seq)
            elif not self._stopped:
                on_sending = partial(self._on_sending, task, request.seq)
                on_refused = partial(self._refusals.add, request)
                batch, extras, gate, places = self.claim.batch, self._extras, self._gate, self._places
                result = await self._executor.run(batch, request, on_sending, on_refused, extras, gate, places)
                self._add_result(result)
        finally:
            self._waiting.pop(task, None)
            self._sending.discard(task)

    def _on_sending(self, task: asyncio.Task[None], seq: int, sending: bool) -> None:
        """Record which tasks `stop` may cancel, and which calls would be lost with this process."""
        if sending:
            self._waiting.pop(task, None)
            self._sending.add(task)
            self._call_timer.start()
            self._store.mark_sent(self.claim, seq, sent=True)
            hit_failpoint("request_in_flight")
            return
        self._sending.discard(task)
        self._waiting[task] = seq
        asyncio.get_running_loop().call_soon(self._unmark_if_waiting, task, seq)
        # A cancel takes effect at the next await, the delay before a retry; a result is returned without one.
        if self._stopped:
            task.cancel()
        elif self._paused:
            self._put_back(task)

    def _unmark_if_waiting(self, task: asyncio.Task[None], seq: int) -> None:
        """Unmark a failed call, which is repeated in any case; after an answer the task would have ended by now."""
        if task in self._waiting or seq in self._remaining:
            self._store.mark_sent(self.claim, seq, sent=False)

    def _add_expired(self) -> None:
        """Add results for the requests that waited after a refusal; finalization adds those of the others."""
        for request, refusal in self._refusals:
            result = self._executor.expired_result(self.claim.batch, request, refusal)
            if result is not None:
                self._results.add(result)

    def _add_result(self, result: ResultLine) -> None:
        self._refusals.remove(result.seq)
        self._remaining.discard(result.seq)
        self._unanswered -= 1
        hit_failpoint("response_received")
        self._results.add(result)

    async def _flush_results(self) -> None:
        """Store results in chunks until the run ends."""
        try:
            while not self._ending:
                await self._results.wait()
                await self._flush(shard_done=False)
        except BaseException:
            self._ending = True  # the group ends, and accepts no more tasks
            raise

    async def _flush(self, *, shard_done: bool) -> bool:
        """Store the results so far, and try again while storage fails; return whether the batch can be finalized.

        Raises `StaleClaim` when another worker has claimed the shard.
        """
        results, numbers = self._results.take()
        if not results and not shard_done:
            return False
        try:
            return await self._store_results(results, shard_done=shard_done)
        finally:
            self._results.settle(numbers)

    async def _store_results(self, results: list[ResultLine], *, shard_done: bool) -> bool:
        now, calls, started = self._clock.now(), self._call_timer.period, time.perf_counter()
        retried = self._refusals.take_retried()
        chunk = chunk_of(results, at=now, sent_before=self.claim.sent, calls=calls, retried=retried)
        while True:
            try:
                finalizable = await self._store.append_chunk(self.claim, chunk, shard_done=shard_done)
            except StaleClaim:
                raise
            except LostBlob as error:
                self._report("results", error)
                self._remaining.update(chunk.seqs)
                return self._drop(chunk)
            except StoreError as error:
                self._report("results", error)
                if self._aborted.is_set():
                    return self._drop(chunk)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._aborted.wait(), STORAGE_RETRY)
            else:
                self._report("results", None)
                if chunk.repeated:
                    self._telemetry.requests_redelivered(self.claim, chunk.repeated)
                self._telemetry.results_flushed(self.claim, chunk, seconds=time.perf_counter() - started, native=False)
                return finalizable

    def _drop(self, chunk: ResultChunk) -> bool:
        """Drop results that cannot be stored: their files are gone, or this process stops and a disk may stay full."""
        self._unanswered += len(chunk.seqs)
        self._results_dropped = True
        fields = {"action": "results_not_stored", "batch": self.claim.batch.id}
        logger.error("could not store %d results; their requests will be sent again", len(chunk.seqs), extra=fields)
        return False
