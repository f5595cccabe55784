"""One claimed shard in a worker's hands: runs its requests side by side and flushes their results as they come."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from enum import Enum, auto
from functools import partial

from batchgate.engine.dispatch.admission import AdmissionBuffer, Amount, LimiterKey
from batchgate.engine.dispatch.executor import Executor, PreparedRequest
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.errors import BlobError, StaleClaim, StoreError
from batchgate.engine.model.shard import Chunk, ResultLine, ShardJob
from batchgate.engine.model.usage import Usage
from batchgate.engine.ports.blobs import Blobs
from batchgate.engine.ports.store import Store
from batchgate.engine.ports.telemetry import Telemetry
from batchgate.engine.storage.input_lines import read_input_lines
from batchgate.engine.support.failpoints import hit
from batchgate.engine.support.health_problems import ReportHealth

logger = logging.getLogger(__name__)

FLUSH_DELAY = 0.1  # seconds that a result waits for company at the most
FLUSH_RESULTS = 256
STORAGE_RETRY = 1.0  # seconds between tries when storage fails


class RunEnd(Enum):
    """What becomes of a shard when a run of it is over."""

    DONE = auto()
    """It is done."""
    FINALIZABLE = auto()
    """It is done, and was the last of its batch."""
    PARKED = auto()
    """What is left of it waits for room here."""
    REFUSED = auto()
    """Nothing of it could be taken, as there is no room for any of it."""
    BARRED = auto()
    """What is left of it may not be sent from here."""
    LOST = auto()
    """Somebody else has claimed it."""
    STOPPED = auto()
    """It was put back as it is."""


class ShardRun:
    """Runs a claim. `stop` stops it from sending more; calls under way still finish and count."""

    def __init__(
        self,
        job: ShardJob,
        claim: Claim,
        *,
        store: Store,
        blobs: Blobs,
        executor: Executor,
        room: AdmissionBuffer,
        report: ReportHealth,
        telemetry: Telemetry,
    ) -> None:
        self.job = job
        self.claim = claim
        self.called_late = False
        """Whether there was room for what is left, but only when the run was at its end: another run takes it."""
        self._stopped = False
        self._store = store
        self._blobs = blobs
        self._executor = executor
        self._room = room
        self._report = report
        self._telemetry = telemetry
        self._results: list[ResultLine] = []
        self._some = asyncio.Event()
        self._enough = asyncio.Event()
        self._waiting: set[asyncio.Task[None]] = set()
        self._sending: set[asyncio.Task[None]] = set()
        self._left = set(range(claim.shard.first_seq, claim.shard.first_seq + claim.shard.requests)) - claim.finished
        """The seqs of requests that have not been taken yet."""
        self._unanswered = len(self._left)
        self._group = asyncio.TaskGroup()
        self._open = 0
        self._none_open = asyncio.Event()
        self._ending = False
        self._put_back = False
        self._given_up = False
        self._took = False
        self._parked = False
        self._accounts: set[str] = set()
        """Those that requests of it were to be sent to."""
        self._aborted = asyncio.Event()

    def uses(self, account: str) -> bool:
        """Tell if requests of it have been taken for an account."""
        return account in self._accounts

    def stop(self, *, put_back: bool) -> None:
        """Send nothing more. ``put_back`` leaves the shard open for a later run; otherwise it is done as it is."""
        self._stopped = True
        self._put_back = self._put_back or put_back
        for task in self._waiting:
            task.cancel()

    def abort(self) -> None:
        """Give up even the calls under way; what has been answered is still flushed, the shard stays open."""
        self.stop(put_back=True)
        self._aborted.set()
        for task in self._sending:
            task.cancel()

    async def run(self) -> RunEnd:
        """Run the requests that there is room for; a shard that another worker has claimed since is left to it."""
        try:
            async with self._group:
                self._group.create_task(self._flush_as_they_come())
                self.resume()
                while self._open:  # what was taken up since the last one was closed is not to be left behind
                    self._none_open.clear()
                    await self._none_open.wait()
                self._ending = True
                self._some.set()
                self._enough.set()
            return await self._end()
        except* StaleClaim:
            self._room.forget(self.job)
            self.called_late = False
            batch, shard = self.claim.batch.id, self.claim.shard.index
            fields = {"action": "shard_lost", "batch": batch, "shard": shard}
            logger.warning(
                "what is left of shard %d of %s is not stored: another worker has it", shard, batch, extra=fields
            )
        return RunEnd.LOST

    def resume(self) -> None:
        """Run on what is left: all at first, later that for which there is room now."""
        if self._ending:
            self.called_late = True
        else:
            self._open += 1
            self._group.create_task(self._take())

    async def _take(self) -> None:
        try:
            for request, size in self._prepare(await self._read()):
                self._open += 1
                task = self._group.create_task(self._request(request))
                # Not at the end of the task itself: one that is cancelled before it begins has none.
                task.add_done_callback(partial(self._give_back, request.route.gate, size))
        except BaseException:
            self._ending = True  # the group ends, and takes no more tasks
            raise
        finally:
            self._close_one()

    def _give_back(self, gate: LimiterKey, size: int, _task: asyncio.Task[None]) -> None:
        try:
            self._room.give(gate, size)
        finally:
            self._close_one()

    def _close_one(self) -> None:
        self._open -= 1
        if not self._open:
            self._none_open.set()

    async def _read(self) -> list[tuple[int, bytes]]:
        """Read the input lines that are left, however long storage takes."""
        lines: list[tuple[int, bytes]] | None = None
        place = f"{self.claim.batch.id}/{self.claim.shard.index}"
        while self._left and lines is None and not self._stopped:
            try:
                lines = await read_input_lines(self._blobs, self.claim)
            except BlobError as error:
                self._room.forget(self.job)
                self._report("input", error, of=place)
                await asyncio.sleep(STORAGE_RETRY)
        self._report("input", None, of=place)
        return [(seq, line) for seq, line in lines or () if seq in self._left]

    def _prepare(self, lines: list[tuple[int, bytes]]) -> list[tuple[PreparedRequest, int]]:
        """Take the requests that there is room for, with the bytes of their lines; the others are left for later."""
        if self._stopped:
            self._room.forget(self.job)
            return []
        self._room.expect(self.job)
        taken: list[tuple[PreparedRequest, int]] = []
        needs: dict[LimiterKey, Amount] = {}
        for seq, line in lines:
            request = self._executor.prepare(self.claim.batch, seq, line)
            if isinstance(request, ResultLine):
                self._left.remove(seq)
                self._add(request)
            elif request.route.limiter.without_share:
                continue
            elif self._room.take(request.route.gate, len(line)):
                self._left.remove(seq)
                taken.append((request, len(line)))
            else:
                needs.setdefault(request.route.gate, Amount()).add(1, len(line))
        self._accounts.update(request.route.gate[0] for request, _ in taken)
        self._took = self._took or len(lines) > len(self._left)
        self._parked = bool(needs)
        if needs:
            self._room.park(self.job, needs)
        return taken

    async def _end(self) -> RunEnd:
        """Flush what is left, and mark the shard done, or let it go until there is room for the rest."""
        if not self._stopped and not self._left and self._unanswered:
            raise RuntimeError(f"{self._unanswered} requests ended without a result")
        last = not (self._put_back and self._unanswered) if self._stopped else not self._left
        if self._stopped:
            self._room.forget(self.job)
        finalizable = await self._flush(last=last)
        if last and not self._given_up:
            return RunEnd.FINALIZABLE if finalizable else RunEnd.DONE
        if self._stopped:
            return await self._put_it_back()
        await self._store.release_shard(self.claim)
        if not self._parked:
            return RunEnd.BARRED
        return RunEnd.PARKED if self._took else RunEnd.REFUSED

    async def _put_it_back(self) -> RunEnd:
        """Let the shard go; a store that fails is not waited for, as the next claim is good all the same."""
        self._room.forget(self.job)
        with suppress(StoreError):
            await self._store.release_shard(self.claim)
        return RunEnd.STOPPED

    async def _request(self, request: PreparedRequest) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._waiting.add(task)
        try:
            if not self._stopped:
                sending = partial(self._mark, task, request.seq)
                self._add(await self._executor.run(self.claim.batch, request, sending))
        finally:
            self._waiting.discard(task)
            self._sending.discard(task)

    def _mark(self, task: asyncio.Task[None], seq: int, sending: bool) -> None:
        """Keep track of who may be interrupted, and of what is lost with this process."""
        entered, left = (self._sending, self._waiting) if sending else (self._waiting, self._sending)
        left.discard(task)
        entered.add(task)
        if sending:
            self._store.mark_sent(self.claim, seq, sent=True)
            hit("request_in_flight")
        else:
            asyncio.get_running_loop().call_soon(self._unmark_if_it_waits, task, seq)
        if self._stopped and not sending:
            # Takes effect at the next wait, the pause before another try; an answer is returned without one.
            task.cancel()

    def _unmark_if_it_waits(self, task: asyncio.Task[None], seq: int) -> None:
        """Forget a call that failed and will be made again in any case; an answer would be with the results by now."""
        if task in self._waiting:
            self._store.mark_sent(self.claim, seq, sent=False)

    def _add(self, result: ResultLine) -> None:
        self._results.append(result)
        self._unanswered -= 1
        hit("response_received")
        self._some.set()
        if len(self._results) >= FLUSH_RESULTS:
            self._enough.set()

    async def _flush_as_they_come(self) -> None:
        try:
            while not self._ending:
                await self._some.wait()
                with suppress(TimeoutError):
                    async with asyncio.timeout(FLUSH_DELAY):
                        await self._enough.wait()
                await self._flush(last=False)
        except BaseException:
            self._ending = True  # the group ends, and takes no more tasks
            raise

    async def _flush(self, *, last: bool) -> bool:
        """Write what has come, however long storage takes; raises `StaleClaim` when it must not be written."""
        results, self._results = self._results, []
        self._some.clear()
        self._enough.clear()
        if not results and not last:
            return False
        chunk, begun = self._chunk(results), time.perf_counter()
        while True:
            try:
                finalizable = await self._store.append_chunk(self.claim, chunk, shard_done=last)
            except StaleClaim:
                raise
            except StoreError as error:
                self._report("results", error)
                if self._aborted.is_set():
                    return self._give_up(chunk)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._aborted.wait(), STORAGE_RETRY)
            else:
                self._report("results", None)
                if chunk.repeated:
                    self._telemetry.requests_redelivered(self.claim, chunk.repeated)
                self._telemetry.results_flushed(self.claim, chunk, seconds=time.perf_counter() - begun)
                return finalizable

    def _give_up(self, chunk: Chunk) -> bool:
        """Stop although storage fails: a gateway that is told to stop must not wait for a disk that may stay full."""
        self._unanswered += len(chunk.seqs)
        self._given_up = True
        fields = {"action": "results_not_stored", "batch": self.claim.batch.id}
        logger.error("%d results could not be stored and will be asked for again", len(chunk.seqs), extra=fields)
        return False

    def _chunk(self, results: list[ResultLine]) -> Chunk:
        succeeded = sum(result.status == "succeeded" for result in results)
        return Chunk(
            seqs=tuple(result.seq for result in results),
            lines=b"".join(result.line for result in results),
            succeeded=succeeded,
            errored=len(results) - succeeded,
            usage=sum((result.usage for result in results if result.usage is not None), Usage()),
            cost=sum(result.cost for result in results),
            repeated=sum(result.seq in self.claim.sent for result in results),
        )
