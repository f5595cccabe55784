"""`Queue` on Procrastinate, in the database of the store: the transaction that inserts shards also defers their jobs.

Procrastinate's own worker runs a fixed number of jobs at once, while this worker takes a shard when it has capacity. So
only the layer below Procrastinate's worker is used: `JobManager` and the SQL functions of its schema.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager, suppress
from importlib.resources import files
from types import TracebackType
from typing import Any, Final, Self

import msgspec
import psycopg
from msgspec import structs
from procrastinate import PsycopgConnector
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job
from procrastinate.manager import JobManager
from procrastinate.sql import parse_query_file
from psycopg import AsyncConnection

from batchgate.engine.cluster.heartbeats import Heartbeats
from batchgate.engine.model.errors import StoreError
from batchgate.engine.model.priority import WEIGHTS, Contender, Contenders, of_gateway, of_workspaces
from batchgate.engine.model.shard import QueuedShard
from batchgate.engine.support.cancellation import cancel_all, shielded

logger = logging.getLogger(__name__)

STATEMENTS: Final = parse_query_file(files("batchgate.queue").joinpath("procrastinate.sql").read_text())
QUEUE: Final = "shards"
TASK: Final = "run_shard"
EXPEDITED_PRIORITY: Final = 1_000_000_000
"""Priority of the first shard of an expedited batch; all other priorities are 0 or less."""
POLL_INTERVAL: Final = 1.0  # seconds between two looks at the queue without a notification
RETRY_DELAY: Final = 1.0  # seconds before the server is tried again
MAX_CONNECTIONS: Final = 3
MAX_ATTEMPTS: Final = 8
"""How often missing jobs are enqueued while other processes enqueue some of them."""


class _JobArguments(msgspec.Struct):
    """The arguments of a shard's job."""

    batch_key: int
    shard: int


class ProcrastinateQueue:
    """The queue of shards in a database, for any number of workers. An async context manager.

    ``timeout``: seconds within which another worker gets the jobs of a worker that died.
    """

    def __init__(self, conninfo: str, *, timeout: float) -> None:
        self._conninfo = conninfo
        self._heartbeats = Heartbeats(timeout)
        self._connector = PsycopgConnector(
            conninfo=conninfo,
            min_size=1,
            max_size=MAX_CONNECTIONS,
            timeout=self._heartbeats.interval,
            reconnect_timeout=self._heartbeats.interval,  # the pause between attempts doubles; this bounds it
            configure=_configure,
            name="batchgate queue",
        )
        self._manager = JobManager(self._connector)
        self._worker: int | None = None
        self._held: dict[QueuedShard, int] = {}
        self._finished: list[int] = []
        self._released: list[tuple[int, float]] = []
        self._contenders: Contenders = {}
        self._writing = asyncio.Lock()
        self._next_check = 0.0
        """When to look for jobs that this worker has without knowing, in the time of the event loop."""
        self._job_available = asyncio.Event()
        self._has_updates = asyncio.Event()
        self._jobs_lost_callback: Callable[[], None] = _do_nothing
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Connect and register as a worker."""
        try:
            async with _translate_errors():
                await self._connector.open_async()
            await self._register()
        except BaseException:
            await self._connector.close_async()
            raise
        for name, run in (
            ("heartbeats", self._run_heartbeats),
            ("updates", self._run_updates),
            ("notifications", self._listen),
        ):
            task = asyncio.create_task(run(), name=f"queue {name}")
            task.add_done_callback(_log_crash)
            self._tasks.append(task)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release all held jobs; without a server that happens when this worker is considered dead."""
        await cancel_all(self._tasks)
        with suppress(StoreError):
            await shielded(self._release_all())
        await self._connector.close_async()

    async def enqueue_missing(self) -> None:
        """Enqueue every unfinished shard without a job, and every job whose worker is gone."""
        await shielded(self._write_updates())  # a job that this worker has dropped must not look as if it were there
        await self._run("requeue_orphaned_jobs", queue=QUEUE)
        for attempts_left in reversed(range(MAX_ATTEMPTS)):
            try:
                await self._run("enqueue_missing", queue=QUEUE, task=TASK)
            except StoreError as error:  # another process was faster with one of the jobs
                if not isinstance(_driver_error(error), psycopg.errors.UniqueViolation) or not attempts_left:
                    raise
            else:
                return

    def enqueue(self, jobs: Sequence[QueuedShard]) -> None:
        """Do nothing: the transaction that inserted the shards has deferred their jobs."""

    def withdraw(self, batch_keys: AbstractSet[int]) -> None:
        """Do nothing: the transaction that pauses a batch removes its waiting jobs."""

    async def dequeue(self) -> QueuedShard:
        """Wait for the next job by priority, and hold it."""
        while True:
            self._job_available.clear()
            if (job := await self.try_dequeue()) is not None:
                return job
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_INTERVAL):
                    await self._job_available.wait()

    async def try_dequeue(self) -> QueuedShard | None:
        """Hold the next job by priority; None if there is none now."""
        fetching = asyncio.ensure_future(self._fetch())
        try:
            return await asyncio.shield(fetching)
        except asyncio.CancelledError:
            await shielded(_wait_for(fetching))
            if not fetching.exception() and (job := fetching.result()) is not None:
                self.release(job)
            raise

    def complete(self, job: QueuedShard) -> None:
        """Drop a job whose shard is done or has another worker."""
        if (number := self._held.pop(job, None)) is not None:
            self._finished.append(number)
            self._has_updates.set()

    def release(self, job: QueuedShard, *, delay: float = 0.0) -> None:
        """Return a job to the queue, available after ``delay`` seconds."""
        if (number := self._held.pop(job, None)) is not None:
            self._released.append((number, delay))
            self._has_updates.set()

    async def expedite(self, batch_keys: Sequence[int]) -> None:
        """Move the jobs of these batches before all others."""
        if batch_keys:
            await self._run("expedite", batch_keys=list(batch_keys), priority=EXPEDITED_PRIORITY)

    async def reorder(self, contenders: Contenders) -> None:
        """Let the waiting jobs of these batches exchange their places; those of raised ones wait for no delay.

        Batches that have become equal exchange theirs once more, so that none is ahead by an old priority. Jobs of
        batches that compete with all others move, and no other job does.
        """
        await self._move(of_gateway(contenders), of_gateway(self._contenders))
        equal = {key: structs.replace(old, priority="normal") for key, old in of_workspaces(self._contenders).items()}
        exchanging = {key: each for key, each in equal.items() if key not in contenders} | dict(
            of_workspaces(contenders)
        )
        await self._run(
            "reorder",
            batch_keys=list(exchanging),
            workspaces=[contender.workspace for contender in exchanging.values()],
            weights=[contender.weight for contender in exchanging.values()],
        )
        self._contenders = contenders
        self._job_available.set()

    async def _move(self, moving: Mapping[int, Contender], before: Mapping[int, Contender]) -> None:
        """Move the waiting jobs of batches that compete with all others, and put back those that no longer do."""
        weights = dict.fromkeys(before, 0) | {key: contender.weight for key, contender in moving.items()}
        if weights:
            keys = list(weights)
            await self._run(
                "move", batch_keys=keys, weights=list(weights.values()), normal=WEIGHTS["normal"], queue=QUEUE
            )

    def on_jobs_lost(self, callback: Callable[[], None]) -> None:
        """Set what to call when this worker holds no job any more."""
        self._jobs_lost_callback = callback

    async def _fetch(self) -> QueuedShard | None:
        worker = self._worker if self._worker is not None else await self._register()
        await self._requeue_unheld_jobs(worker)
        try:
            async with _translate_errors():
                found = await self._manager.fetch_job([QUEUE], worker)
        except StoreError as error:
            if isinstance(_driver_error(error), psycopg.errors.ForeignKeyViolation):
                self._handle_eviction(worker)
            raise
        if found is None or self._worker != worker:  # evicted meanwhile: the job belongs to another worker
            return None
        return self._hold(found)

    async def _requeue_unheld_jobs(self, worker: int) -> None:
        """Now and then, requeue the jobs of fetches whose answers were lost with their connections.

        No other worker would run them while this one lives. No fetch is in flight meanwhile.
        """
        now = asyncio.get_running_loop().time()
        if now < self._next_check:
            return
        held = [*self._held.values(), *self._finished, *(number for number, _ in self._released)]
        requeued = await self._run("requeue_unheld_jobs", worker_id=worker, ids=held, queue=QUEUE)
        self._next_check = now + self._heartbeats.interval
        if requeued:
            message = "requeued %d shards that this worker was given by answers that it did not get"
            logger.warning(message, len(requeued), extra={"action": "unheld_jobs_requeued"})

    def _hold(self, found: Job) -> QueuedShard:
        arguments = msgspec.convert(found.task_kwargs, _JobArguments)
        job = QueuedShard(priority=arguments.shard, batch_key=arguments.batch_key, shard=arguments.shard)
        assert found.id is not None
        self._held[job] = found.id
        return job

    async def _register(self) -> int:
        async with _translate_errors():
            self._worker = await self._manager.register_worker()
        return self._worker

    def _handle_eviction(self, worker: int) -> None:
        """Drop all held jobs after this worker was considered dead; the next fetch registers a new worker."""
        if self._worker != worker:
            return
        logger.warning("this worker was considered dead and lost its jobs", extra={"action": "worker_evicted"})
        self._worker = None
        self._held.clear()
        self._finished.clear()
        self._released.clear()
        self._jobs_lost_callback()

    async def _run_heartbeats(self) -> None:
        """Send heartbeats, and requeue the jobs of dead workers, until cancelled."""
        failing = False
        while True:
            await asyncio.sleep(self._heartbeats.interval)
            try:
                await self._heartbeat()
            except StoreError as error:
                if not failing:
                    logger.warning(
                        "cannot write the heartbeat of this worker: %s", error, extra={"action": "heartbeat_failed"}
                    )
                failing = True
            else:
                if failing:
                    logger.info("writing heartbeats again", extra={"action": "heartbeat_restored"})
                failing = False

    async def _heartbeat(self) -> None:
        worker = self._worker
        if worker is not None and not await self._run("record_heartbeat", worker_id=worker):
            self._handle_eviction(worker)
        now, dead_after = asyncio.get_running_loop().time(), self._heartbeats.dead_after
        self._heartbeats.record_beat(now)
        if not self._heartbeats.may_evict(now):
            return
        # In this order: a process that dies in between leaves jobs without a worker, which the next heartbeat requeues.
        async with _translate_errors():
            await self._manager.prune_stalled_workers(dead_after)
        if jobs := await self._run("requeue_orphaned_jobs", queue=QUEUE):
            _log_requeued_jobs(jobs)

    async def _run_updates(self) -> None:
        """Write completions and releases, retrying for as long as the server is unreachable."""
        while True:
            await self._has_updates.wait()
            self._has_updates.clear()
            try:
                await shielded(self._write_updates())
            except StoreError:
                self._has_updates.set()
                await asyncio.sleep(RETRY_DELAY)

    async def _write_updates(self) -> None:
        """Write the pending completions and releases; writing them twice changes nothing."""
        async with self._writing:
            worker, finished, released = self._worker, tuple(self._finished), tuple(self._released)
            if finished:
                await self._run("finish_jobs", ids=list(finished), worker_id=worker)
            if released:
                ids, delays = zip(*released, strict=True)
                await self._run("requeue_jobs", ids=list(ids), delays=list(delays), worker_id=worker, queue=QUEUE)
            if worker == self._worker:
                del self._finished[: len(finished)]
                del self._released[: len(released)]

    async def _release_all(self) -> None:
        await self._write_updates()
        if self._worker is not None:
            await self._run("requeue_all_jobs", worker_id=self._worker, queue=QUEUE)
            async with _translate_errors():
                await self._manager.unregister_worker(self._worker)

    async def _listen(self) -> None:
        """Receive notifications of new jobs; without a connection `dequeue` polls."""
        while True:
            with suppress(psycopg.Error):
                async with await AsyncConnection.connect(self._conninfo, autocommit=True) as connection:
                    await connection.execute(STATEMENTS["listen"])
                    async for _ in connection.notifies():
                        self._job_available.set()
            await asyncio.sleep(RETRY_DELAY)

    async def _run(self, name: str, **params: object) -> list[dict[str, Any]]:
        async with _translate_errors():
            rows: list[dict[str, Any]] = await self._connector.execute_query_all_async(STATEMENTS[name], **params)
        return rows


@asynccontextmanager
async def _translate_errors() -> AsyncIterator[None]:
    """Raise errors of the driver and of Procrastinate as a `StoreError`, without the values that they quote."""
    try:
        yield
    except (ConnectorException, psycopg.Error) as error:
        cause = error if isinstance(error, psycopg.Error) else error.__cause__
        raise StoreError(f"the queue failed: {_error_message(cause or error)}") from error


def _error_message(error: BaseException) -> str:
    """Return the server's message; an operational error without one means that the server was not reached."""
    message = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    unreachable = "no connection to the database"
    return message or (unreachable if isinstance(error, psycopg.OperationalError) else type(error).__name__)


def _log_requeued_jobs(jobs: Sequence[Mapping[str, Any]]) -> None:
    """Log how many shards of each batch were requeued."""
    for (batch, workspace), shards in Counter((job["batch"], job["workspace"]) for job in jobs).items():
        message = "requeued %d shards of a dead worker"
        logger.warning(message, shards, extra={"action": "requeued", "batch": batch, "workspace": workspace})


def _driver_error(error: StoreError) -> BaseException | None:
    """Return the error that the driver raised."""
    cause = error.__cause__
    return cause.__cause__ if isinstance(cause, ConnectorException) else cause


async def _configure(connection: psycopg.AsyncConnection[Any]) -> None:
    """Commit each statement on its own.

    A process that pauses between a statement and its commit would keep its worker row locked, and block the eviction
    of dead workers by every other process.
    """
    await connection.set_autocommit(True)


def _log_crash(task: asyncio.Task[None]) -> None:
    """Log a crash of a background task, which stays down until the process restarts."""
    if not task.cancelled() and task.exception() is not None:
        fields = {"action": "component_crashed", "component": task.get_name()}
        logger.critical("%s has crashed", task.get_name(), exc_info=task.exception(), extra=fields)


async def _wait_for(task: asyncio.Future[Any]) -> None:
    await asyncio.wait([task])


def _do_nothing() -> None:
    """Do nothing."""
