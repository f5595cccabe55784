"""The engine as a whole: its parts, the tasks that they run in, and how they start and stop."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Mapping
from types import TracebackType
from typing import Self

from batchgate.engine.cluster.membership import ClusterMember
from batchgate.engine.dispatch.claim_policy import ClaimPolicy
from batchgate.engine.dispatch.executor import Executor
from batchgate.engine.dispatch.provider_key_refresh import ProviderKeyRefresh
from batchgate.engine.dispatch.router import Router
from batchgate.engine.lifecycle.batches import Batches
from batchgate.engine.lifecycle.files import Files
from batchgate.engine.model.batch import Backlog, Batch, BatchOptions, Dialect
from batchgate.engine.model.clock import MICROSECONDS, Clock
from batchgate.engine.model.errors import StoreError
from batchgate.engine.model.health_report import pause_reason, worker_problems
from batchgate.engine.ports.batch_signals import NoBatchSignals
from batchgate.engine.ports.blobs import Blobs
from batchgate.engine.ports.body_readers import FileReader
from batchgate.engine.ports.cluster import Cluster
from batchgate.engine.ports.queue import Queue
from batchgate.engine.ports.rows import LineTranslator, RowFormat
from batchgate.engine.ports.store import Store
from batchgate.engine.ports.telemetry import EngineState, NoTelemetry, Telemetry
from batchgate.engine.ports.tenant_store import TenantStore
from batchgate.engine.results.content_renderer import ContentRenderer
from batchgate.engine.services import BackgroundServices
from batchgate.engine.storage.orphan_blobs import OrphanBlobs
from batchgate.engine.storage.storage_probe import StorageProbe
from batchgate.engine.support.cancellation import cancel_all
from batchgate.engine.support.health_problems import HealthProblems

logger = logging.getLogger(__name__)

STOPPING = "it is stopping; calls under way may finish, new batches are refused"
NO_WORKER = "none is running; batches are taken in, and wait until one is"


class Engine:
    """Runs batches from the moment it is entered until it is left; then it drains."""

    def __init__(
        self,
        *,
        store: Store,
        tenants: TenantStore,
        blobs: Blobs,
        queue: Queue,
        claim_policy: ClaimPolicy,
        cluster: Cluster,
        router: Router,
        rows: Mapping[Dialect, RowFormat],
        reading: LineTranslator,
        file_reader: Callable[[BatchOptions], FileReader],
        clock: Clock,
        grace: float,
        works: bool = True,
        seed: int | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        self.router = router
        self.cluster = cluster
        self._store = store
        self._clock = clock
        self._grace = grace
        self._problems = HealthProblems()
        self._stopping = False
        telemetry = telemetry or NoTelemetry()
        report = self._problems.report
        orphan_blobs = OrphanBlobs(store, blobs)
        self._probe = StorageProbe(orphan_blobs, report)
        self._own = None
        if works:
            self._own = BackgroundServices(
                store=store,
                blobs=blobs,
                orphan_blobs=orphan_blobs,
                queue=queue,
                claim_policy=claim_policy,
                cluster=cluster,
                router=router,
                executor=Executor(router, rows, reading, random.Random(seed), telemetry),
                rows=rows,
                file_reader=file_reader,
                clock=clock,
                report=report,
                telemetry=telemetry,
            )
        signals = self._own or NoBatchSignals()
        self._membership = ClusterMember(
            store=store,
            clock=clock,
            router=router,
            signals=signals,
            worker=None if self._own is None else self._own.worker,
            problems=self._problems,
        )
        self._key_watch = ProviderKeyRefresh(router)
        self.batches = Batches(
            store=store,
            orphan_blobs=orphan_blobs,
            probe=self._probe,
            queue=queue,
            clock=clock,
            signals=signals,
            names_of=router.names_of,
            telemetry=telemetry,
        )
        self.contents = ContentRenderer(blobs, rows, reading)
        self.files = Files(store=store, tenants=tenants, contents=self.contents, orphan_blobs=orphan_blobs, clock=clock)
        self._working: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def problems(self) -> tuple[str, ...]:
        """What is not well now, a sentence each; of the workers too, if it has none of its own."""
        stopping = (f"gateway: {STOPPING}",) if self._stopping else ()
        alone = () if self.cluster.workers else (f"workers: {NO_WORKER}",)
        others = worker_problems(self.cluster.other_workers) if self._own is None else ()
        return (*stopping, *alone, *self._problems.sentences(), *self.router.problems, *others)

    def paused(self, batch: Batch) -> str | None:
        """Tell why requests of a batch wait, if it is because their account is paused where they run."""
        if self._own is not None:
            return self.router.paused(batch)
        return pause_reason(self.cluster.other_workers, self.router.accounts_of(batch))

    async def state(self) -> EngineState:
        """Read how the engine stands now, as far as the store answers."""
        backlog = await self._backlog()
        since = backlog.waiting_since if backlog else None
        waiting = 0 if since is None else max(0, self._clock.now() - since)
        return EngineState(
            limiters=self.router.limiters,
            backlog=backlog,
            waiting_seconds=waiting / MICROSECONDS,
            problems=len(self._problems) + len(self.router.problems),
            workers=self.cluster.workers,
        )

    async def __aenter__(self) -> Self:
        """Read the keys, line up what stopped processes left undone, and start; raises `ConfigurationError`."""
        await self.router.read_keys()
        if self._own is not None:
            await self._own.resume()
        # The peers first: they say how much the worker may do.
        self._start("peers", self.cluster.run(self._membership))
        self._start("storage probe", self._probe.run())
        self._start("key watch", self._key_watch.run())
        if self._own is not None:
            self._working = self._start("worker", self._own.worker.run())
            for name, run in self._own.tasks.items():
                self._start(name, run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop claiming, let the calls under way finish within the grace, and flush what was answered."""
        await self.drain()
        await cancel_all(self._tasks)

    async def drain(self) -> None:
        """Refuse creates and claim nothing more; let the calls under way finish within the grace, and flush."""
        self._stopping = True
        self.batches.close()
        if self._own is not None and self._working is not None:
            await cancel_all([self._working])
            await self._own.worker.drain(self._grace)

    async def abort(self) -> None:
        """End a drain at once: calls under way are given up, what was answered is flushed."""
        self._grace = 0.0
        if self._own is not None:
            await self._own.worker.abort()

    def _start(self, name: str, run: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(run, name=name)
        task.add_done_callback(self._tell_of_a_crash)
        self._tasks.append(task)
        return task

    async def _backlog(self) -> Backlog | None:
        try:
            return await self._store.backlog()
        except StoreError:
            return None

    def _tell_of_a_crash(self, task: asyncio.Task[None]) -> None:
        """Say so where it is seen: a part that has crashed stays down until the gateway starts again."""
        if not task.cancelled() and task.exception() is not None:
            fields = {"action": "component_crashed", "part": task.get_name()}
            logger.critical("%s has crashed", task.get_name(), exc_info=task.exception(), extra=fields)
            self._problems.crashed(task.get_name())
