"""`Queue` on Procrastinate, in the database of the store: jobs are deferred by the transactions that make the shards.

Procrastinate's own worker runs a fixed number of jobs at once; ours takes a shard when it has room for it. So what is
used of Procrastinate is the layer under its worker: `JobManager` and the functions in its schema.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from importlib.resources import files
from types import TracebackType
from typing import Any, Final, Self

import msgspec
import psycopg
from procrastinate import PsycopgConnector
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job
from procrastinate.manager import JobManager
from procrastinate.sql import parse_query_file
from psycopg import AsyncConnection

from batchgate.engine.cluster.heartbeats import Heartbeats
from batchgate.engine.model.errors import StoreError
from batchgate.engine.model.shard import ShardJob
from batchgate.engine.support.cancellation import cancel_all, shielded

logger = logging.getLogger(__name__)

STATEMENTS: Final = parse_query_file(files("batchgate.queue").joinpath("procrastinate.sql").read_text())
QUEUE: Final = "shards"
TASK: Final = "run_shard"
BEFORE_ALL: Final = 1_000_000_000
"""The priority of the first shard of a batch that must hurry; others have none above 0."""
POLL: Final = 1.0  # seconds until a queue is looked at of which nothing has been heard
RETRY: Final = 1.0  # seconds until the server is tried again
CONNECTIONS: Final = 3


class _Arguments(msgspec.Struct):
    """What the job of a shard says."""

    batch_key: int
    shard: int


class ProcrastinateQueue:
    """The shards that wait in a database, for any number of workers. An async context manager.

    ``timeout`` is how many seconds it may take until somebody else has the jobs of a worker that died.
    """

    def __init__(self, conninfo: str, *, timeout: float) -> None:
        self._conninfo = conninfo
        self._heartbeats = Heartbeats(timeout)
        self._connector = PsycopgConnector(
            conninfo=conninfo,
            min_size=1,
            max_size=CONNECTIONS,
            timeout=self._heartbeats.interval,
            reconnect_timeout=self._heartbeats.interval,  # pauses between tries double, so this bounds them
            configure=_configure,
            name="batchgate queue",
        )
        self._manager = JobManager(self._connector)
        self._worker: int | None = None
        self._held: dict[ShardJob, int] = {}
        self._finished: list[int] = []
        self._left: list[tuple[int, float]] = []
        self._some = asyncio.Event()
        self._to_tell = asyncio.Event()
        self._tell_of_loss: Callable[[], None] = _nobody
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Connect, and be known as a worker."""
        try:
            async with _translated():
                await self._connector.open_async()
            await self._register()
        except BaseException:
            await self._connector.close_async()
            raise
        for name, run in (("beats", self._live), ("settling", self._settle), ("listening", self._listen)):
            task = asyncio.create_task(run(), name=f"queue {name}")
            task.add_done_callback(_tell_of_a_crash)
            self._tasks.append(task)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give back whatever is held; without a server that is done when this worker is taken for dead."""
        await cancel_all(self._tasks)
        with suppress(StoreError):
            await shielded(self._leave_all())
        await self._connector.close_async()

    async def enqueue_missing(self) -> None:
        """Line up every shard that is not done and has no job, and what no worker holds."""
        await self._run("give_back_of_nobody", queue=QUEUE)
        try:
            await self._run("restore", queue=QUEUE, task=TASK)
        except StoreError as error:
            if not isinstance(_origin(error), psycopg.errors.UniqueViolation):  # somebody else was faster
                raise

    def enqueue(self, jobs: Sequence[ShardJob]) -> None:
        """Pass over them: the transaction that made the shards has deferred their jobs."""

    async def dequeue(self) -> ShardJob:
        """Wait for the next job by priority, and take it."""
        while True:
            self._some.clear()
            if (job := await self.try_dequeue()) is not None:
                return job
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL):
                    await self._some.wait()

    async def try_dequeue(self) -> ShardJob | None:
        """Take the next job by priority, if there is one now."""
        fetching = asyncio.ensure_future(self._fetch())
        try:
            return await asyncio.shield(fetching)
        except asyncio.CancelledError:
            await shielded(_end_of(fetching))
            if not fetching.exception() and (job := fetching.result()) is not None:
                self.release(job)
            raise

    def complete(self, job: ShardJob) -> None:
        """Forget a job."""
        if (number := self._held.pop(job, None)) is not None:
            self._finished.append(number)
            self._to_tell.set()

    def release(self, job: ShardJob, *, delay: float = 0.0) -> None:
        """Give a job back to whoever comes, after some seconds."""
        if (number := self._held.pop(job, None)) is not None:
            self._left.append((number, delay))
            self._to_tell.set()

    async def expedite(self, batch_keys: Sequence[int]) -> None:
        """Put the jobs of these batches before all others."""
        if batch_keys:
            await self._run("hurry", batch_keys=list(batch_keys), before_all=BEFORE_ALL)

    def on_jobs_lost(self, callback: Callable[[], None]) -> None:
        """Say whom to tell that nothing is held here any more."""
        self._tell_of_loss = callback

    async def _fetch(self) -> ShardJob | None:
        worker = self._worker if self._worker is not None else await self._register()
        try:
            async with _translated():
                found = await self._manager.fetch_job([QUEUE], worker)
        except StoreError as error:
            if isinstance(_origin(error), psycopg.errors.ForeignKeyViolation):
                self._lose(worker)
            raise
        if found is None or self._worker != worker:  # what was taken by who is dead by now is for others
            return None
        return self._take_hold(found)

    def _take_hold(self, found: Job) -> ShardJob:
        told = msgspec.convert(found.task_kwargs, _Arguments)
        job = ShardJob(priority=told.shard, batch_key=told.batch_key, shard=told.shard)
        assert found.id is not None
        self._held[job] = found.id
        return job

    async def _register(self) -> int:
        async with _translated():
            self._worker = await self._manager.register_worker()
        return self._worker

    def _lose(self, worker: int) -> None:
        """Take note that this worker was taken for dead: what it held is for others, and it is a new one after that."""
        if self._worker != worker:
            return
        logger.warning("was taken for dead, and gives up what it ran", extra={"action": "worker_evicted"})
        self._worker = None
        self._held.clear()
        self._finished.clear()
        self._left.clear()
        self._tell_of_loss()

    async def _live(self) -> None:
        """Be seen, and give back what the dead held, as long as this worker lives."""
        seen = True
        while True:
            await asyncio.sleep(self._heartbeats.interval)
            try:
                await self._beat()
            except StoreError as error:
                if seen:
                    logger.warning("is not seen: %s", error, extra={"action": "heartbeat_failed"})
                seen = False
            else:
                if not seen:
                    logger.info("is seen again", extra={"action": "heartbeat_restored"})
                seen = True

    async def _beat(self) -> None:
        worker = self._worker
        if worker is not None and not await self._run("beat", worker_id=worker):
            self._lose(worker)
        now, dead_after = asyncio.get_running_loop().time(), self._heartbeats.dead_after
        self._heartbeats.record_beat(now)
        if not self._heartbeats.may_evict(now):
            return
        # In this order: who dies between two statements leaves jobs that nobody holds, which the next beat finds.
        async with _translated():
            await self._manager.prune_stalled_workers(dead_after)
        if jobs := await self._run("give_back_of_nobody", queue=QUEUE):
            _tell_of_the_dead(jobs)

    async def _settle(self) -> None:
        """Write what has become of jobs, however long the server is away."""
        while True:
            await self._to_tell.wait()
            self._to_tell.clear()
            try:
                await shielded(self._tell())
            except StoreError:
                self._to_tell.set()
                await asyncio.sleep(RETRY)

    async def _tell(self) -> None:
        """Write it; said twice, it is no more than said once."""
        worker, finished, left = self._worker, tuple(self._finished), tuple(self._left)
        if finished:
            await self._run("finish", ids=list(finished), worker_id=worker)
        if left:
            ids, rests = zip(*left, strict=True)
            await self._run("give_back", ids=list(ids), rests=list(rests), worker_id=worker, queue=QUEUE)
        if worker == self._worker:
            del self._finished[: len(finished)]
            del self._left[: len(left)]

    async def _leave_all(self) -> None:
        await self._tell()
        if self._worker is not None:
            await self._run("give_back_all", worker_id=self._worker, queue=QUEUE)
            async with _translated():
                await self._manager.unregister_worker(self._worker)

    async def _listen(self) -> None:
        """Hear of new jobs; without a connection they are looked for."""
        while True:
            with suppress(psycopg.Error):
                async with await AsyncConnection.connect(self._conninfo, autocommit=True) as connection:
                    await connection.execute(STATEMENTS["listen"])
                    async for _ in connection.notifies():
                        self._some.set()
            await asyncio.sleep(RETRY)

    async def _run(self, name: str, **bound: object) -> list[dict[str, Any]]:
        async with _translated():
            rows: list[dict[str, Any]] = await self._connector.execute_query_all_async(STATEMENTS[name], **bound)
        return rows


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    """Raise what goes wrong between here and the server as a `StoreError`, without what it quotes."""
    try:
        yield
    except (ConnectorException, psycopg.Error) as error:
        cause = error if isinstance(error, psycopg.Error) else error.__cause__
        raise StoreError(f"the queue does not answer as it should: {_in_words(cause or error)}") from error


def _in_words(error: BaseException) -> str:
    """Say what the server said; where it said nothing, it was not reached, which drivers and pools put in many ways."""
    said = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    unreached = "there is no connection to the database"
    return said or (unreached if isinstance(error, psycopg.OperationalError) else type(error).__name__)


def _tell_of_the_dead(jobs: Sequence[Mapping[str, Any]]) -> None:
    """Log of which batches the shards are that were given back."""
    for (batch, workspace), shards in Counter((job["batch"], job["workspace"]) for job in jobs).items():
        message = "%d shards of a worker that died are lined up again"
        logger.warning(message, shards, extra={"action": "requeued", "batch": batch, "workspace": workspace})


def _origin(error: StoreError) -> BaseException | None:
    """Tell what the driver raised."""
    cause = error.__cause__
    return cause.__cause__ if isinstance(cause, ConnectorException) else cause


async def _configure(connection: psycopg.AsyncConnection[Any]) -> None:
    """Have each statement commit by itself.

    A process that stands still between a statement and its commit would keep its row among the workers locked, and all
    others would wait for it when they take the dead away.
    """
    await connection.set_autocommit(True)


def _tell_of_a_crash(task: asyncio.Task[None]) -> None:
    """Say so where it is seen: what has crashed stays down until the process starts again."""
    if not task.cancelled() and task.exception() is not None:
        fields = {"action": "component_crashed", "component": task.get_name()}
        logger.critical("%s has crashed", task.get_name(), exc_info=task.exception(), extra=fields)


async def _end_of(task: asyncio.Future[Any]) -> None:
    await asyncio.wait([task])


def _nobody() -> None:
    """Tell nobody."""
