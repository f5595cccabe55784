"""A run of one claimed shard: runs its requests concurrently and stores their results in chunks."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from enum import Enum, auto
from functools import partial

from batchgate.engine.dispatch.admission import AdmissionControl, LimiterKey, RequestLoad
from batchgate.engine.dispatch.executor import Executor, PreparedRequest
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.errors import BlobError, StaleClaim, StoreError
from batchgate.engine.model.health_report import Refusal
from batchgate.engine.model.shard import QueuedShard, ResultChunk, ResultLine, chunk_of
from batchgate.engine.ports.blobs import Blobs
from batchgate.engine.ports.store import Store
from batchgate.engine.ports.telemetry import Telemetry
from batchgate.engine.storage.input_lines import read_input_lines
from batchgate.engine.support.failpoints import hit_failpoint
from batchgate.engine.support.health_problems import HealthReporter

logger = logging.getLogger(__name__)

FLUSH_DELAY = 0.1  # seconds, at most, that a result waits for others to be stored with
FLUSH_RESULTS = 256  # results that are stored without waiting for more
STORAGE_RETRY = 1.0  # seconds between attempts when storage fails


class RunEnd(Enum):
    """How a run of a shard ended."""

    DONE = auto()
    """The shard is done."""
    FINALIZABLE = auto()
    """The shard is done, and was the last one of its batch."""
    DEFERRED = auto()
    """Some requests ran; the others are deferred on this worker."""
    NOT_ADMITTED = auto()
    """No request was admitted, as there was no capacity for any of them."""
    NO_SHARE = auto()
    """The remaining requests are for accounts of whose limits this worker has no share."""
    CLAIM_LOST = auto()
    """Another worker has claimed the shard."""
    WITHHELD = auto()
    """The remaining requests travel in jobs of the native lane; the shard is held until one of these ends."""
    STOPPED = auto()
    """The shard was released before it was done."""


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
        report: HealthReporter,
        telemetry: Telemetry,
    ) -> None:
        self.job = job
        self.claim = claim
        self.resumed_too_late = False
        """Whether the rest of the shard was resumed when this run was already ending: it needs another run."""
        self._stopped = False
        self._store = store
        self._blobs = blobs
        self._executor = executor
        self._admission = admission
        self._report = report
        self._telemetry = telemetry
        self._results: list[ResultLine] = []
        self._has_results = asyncio.Event()
        self._flush_now = asyncio.Event()
        self._waiting: set[asyncio.Task[None]] = set()
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
        self._refusals: dict[int, tuple[PreparedRequest, Refusal]] = {}
        """The waiting requests whose last call failed, by seq, the latest last."""
        self._accounts: set[str] = set()
        """The accounts that requests were admitted for."""
        self._aborted = asyncio.Event()

    def uses(self, account: str) -> bool:
        """Return whether requests were admitted for an account."""
        return account in self._accounts

    @property
    def last_refusal(self) -> Refusal | None:
        """The latest error of a request that waits for another call."""
        return next((refusal for _, refusal in reversed(self._refusals.values())), None)

    def stop(self, *, release: bool, expired: bool = False) -> None:
        """Send no more requests; with ``release`` the shard is left for a later run, otherwise it is done as it is.

        ``expired``: the batch has expired, so the requests that wait get results with their last refusal.
        """
        self._expired = self._expired or (expired and not self._stopped)
        self._stopped = True
        self._release_wanted = self._release_wanted or release
        for task in self._waiting:
            task.cancel()

    def abort(self) -> None:
        """Cancel the calls in flight too; store the results so far, and leave the rest for a later run."""
        self.stop(release=True)
        self._aborted.set()
        for task in self._sending:
            task.cancel()

    async def run(self) -> RunEnd:
        """Run the requests that there is capacity for, and return how the run ended."""
        try:
            async with self._group:
                self._group.create_task(self._flush_results())
                self.resume()
                while self._open_tasks:  # tasks may have been opened since the last one was closed
                    self._all_tasks_closed.clear()
                    await self._all_tasks_closed.wait()
                self._ending = True
                self._has_results.set()
                self._flush_now.set()
            return await self._finish()
        except* StaleClaim:
            self._admission.forget(self.job)
            self.resumed_too_late = False
            batch, shard = self.claim.batch.id, self.claim.shard.index
            fields = {"action": "shard_lost", "batch": batch, "shard": shard}
            logger.warning(
                "another worker has claimed shard %d of %s; the latest results of this run were not stored",
                shard,
                batch,
                extra=fields,
            )
        return RunEnd.CLAIM_LOST

    def resume(self) -> None:
        """Admit and run remaining requests: at the start, and each time there is capacity again."""
        if self._ending:
            self.resumed_too_late = True
        else:
            self._open_tasks += 1
            self._group.create_task(self._start_requests())

    async def _start_requests(self) -> None:
        try:
            for request, size in self._admit(await self._read_remaining()):
                self._open_tasks += 1
                task = self._group.create_task(self._run_request(request))
                # Not at the end of the task itself: a task that is cancelled before it starts does not reach its end.
                task.add_done_callback(partial(self._on_request_end, request.route.key, size))
        except BaseException:
            self._ending = True  # the group ends, and accepts no more tasks
            raise
        finally:
            self._close_task()

    def _on_request_end(self, key: LimiterKey, size: int, _task: asyncio.Task[None]) -> None:
        try:
            self._admission.release(key, size)
        finally:
            self._close_task()

    def _close_task(self) -> None:
        self._open_tasks -= 1
        if not self._open_tasks:
            self._all_tasks_closed.set()

    async def _read_remaining(self) -> list[tuple[int, bytes]]:
        """Read the input lines of the remaining requests, and try again while storage fails."""
        lines: list[tuple[int, bytes]] | None = None
        shard = f"{self.claim.batch.id}/{self.claim.shard.index}"
        while self._remaining and lines is None and not self._stopped:
            try:
                lines = await read_input_lines(self._blobs, self.claim)
            except BlobError as error:
                self._admission.forget(self.job)
                self._report("input", error, of=shard)
                await asyncio.sleep(STORAGE_RETRY)
        self._report("input", None, of=shard)
        return [(seq, line) for seq, line in lines or () if seq in self._remaining]

    def _admit(self, lines: list[tuple[int, bytes]]) -> list[tuple[PreparedRequest, int]]:
        """Return the requests that there is capacity for, with the sizes of their lines; defer the others."""
        if self._stopped:
            self._admission.forget(self.job)
            return []
        self._admission.use_reservation(self.job)
        admitted: list[tuple[PreparedRequest, int]] = []
        demand: dict[LimiterKey, RequestLoad] = {}
        for seq, line in lines:
            request = self._executor.prepare_call(self.claim.batch, seq, line)
            if isinstance(request, ResultLine):
                self._remaining.remove(seq)
                self._add_result(request)
            elif request.route.limiter.without_share:
                continue
            elif self._admission.try_admit(request.route.key, len(line)):
                self._remaining.remove(seq)
                admitted.append((request, len(line)))
            else:
                demand.setdefault(request.route.key, RequestLoad()).add(1, len(line))
        self._accounts.update(request.route.key[0] for request, _ in admitted)
        self._made_progress = self._made_progress or len(lines) > len(self._remaining)
        self._deferred = bool(demand)
        if demand:
            self._admission.defer(self.job, demand)
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
        self._waiting.add(task)
        try:
            if not self._stopped:
                on_sending = partial(self._on_sending, task, request.seq)
                on_refused = partial(self._on_refused, request)
                self._add_result(await self._executor.run(self.claim.batch, request, on_sending, on_refused))
        finally:
            self._waiting.discard(task)
            self._sending.discard(task)

    def _on_sending(self, task: asyncio.Task[None], seq: int, sending: bool) -> None:
        """Record which tasks `stop` may cancel, and which calls would be lost with this process."""
        entered, left = (self._sending, self._waiting) if sending else (self._waiting, self._sending)
        left.discard(task)
        entered.add(task)
        if sending:
            self._store.mark_sent(self.claim, seq, sent=True)
            hit_failpoint("request_in_flight")
        else:
            asyncio.get_running_loop().call_soon(self._unmark_if_waiting, task, seq)
        if self._stopped and not sending:
            # Takes effect at the next await, the delay before a retry; a result is returned without one.
            task.cancel()

    def _unmark_if_waiting(self, task: asyncio.Task[None], seq: int) -> None:
        """Unmark a failed call, which is repeated in any case; after an answer the task would have ended by now."""
        if task in self._waiting:
            self._store.mark_sent(self.claim, seq, sent=False)

    def _on_refused(self, request: PreparedRequest, refusal: Refusal) -> None:
        self._refusals.pop(request.seq, None)
        self._refusals[request.seq] = (request, refusal)

    def _add_expired(self) -> None:
        """Add results for the requests that waited after a refusal; finalization adds those of the others."""
        for request, refusal in self._refusals.values():
            result = self._executor.expired_result(self.claim.batch, request, refusal)
            if result is not None:
                self._results.append(result)

    def _add_result(self, result: ResultLine) -> None:
        self._refusals.pop(result.seq, None)
        self._results.append(result)
        self._unanswered -= 1
        hit_failpoint("response_received")
        self._has_results.set()
        if len(self._results) >= FLUSH_RESULTS:
            self._flush_now.set()

    async def _flush_results(self) -> None:
        """Store results in chunks until the run ends."""
        try:
            while not self._ending:
                await self._has_results.wait()
                with suppress(TimeoutError):
                    async with asyncio.timeout(FLUSH_DELAY):
                        await self._flush_now.wait()
                await self._flush(shard_done=False)
        except BaseException:
            self._ending = True  # the group ends, and accepts no more tasks
            raise

    async def _flush(self, *, shard_done: bool) -> bool:
        """Store the results so far, and try again while storage fails; return whether the batch can be finalized.

        Raises `StaleClaim` when another worker has claimed the shard.
        """
        results, self._results = self._results, []
        self._has_results.clear()
        self._flush_now.clear()
        if not results and not shard_done:
            return False
        chunk, started = chunk_of(results, sent_before=self.claim.sent), time.perf_counter()
        while True:
            try:
                finalizable = await self._store.append_chunk(self.claim, chunk, shard_done=shard_done)
            except StaleClaim:
                raise
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
                self._telemetry.results_flushed(self.claim, chunk, seconds=time.perf_counter() - started)
                return finalizable

    def _drop(self, chunk: ResultChunk) -> bool:
        """Drop results that cannot be stored: a process that stops must not wait for a disk that may stay full."""
        self._unanswered += len(chunk.seqs)
        self._results_dropped = True
        fields = {"action": "results_not_stored", "batch": self.claim.batch.id}
        logger.error("could not store %d results; their requests will be sent again", len(chunk.seqs), extra=fields)
        return False
