"""The engine as a whole: its parts, the tasks that they run in, and how they start and stop."""

from __future__ import annotations

import asyncio
import logging
import random
from types import TracebackType
from typing import Self

from batchgate.engine.batches import Batches
from batchgate.engine.clock import Clock
from batchgate.engine.execution import Executor
from batchgate.engine.ports import Blobs, Queue, Store
from batchgate.engine.routing import Router
from batchgate.engine.rows import RowFormat
from batchgate.engine.sealing import Sealer
from batchgate.engine.sweeper import Sweeper
from batchgate.engine.worker import Worker

logger = logging.getLogger(__name__)


class Engine:
    """Runs batches from the moment it is entered until it is left; then it drains."""

    def __init__(
        self,
        *,
        store: Store,
        blobs: Blobs,
        queue: Queue,
        router: Router,
        rows: RowFormat,
        clock: Clock,
        grace: float,
        seed: int | None = None,
    ) -> None:
        self.router = router
        self._store = store
        self._queue = queue
        self._grace = grace
        self._problems: dict[str, str] = {}
        executor = Executor(router, rows, asyncio.sleep, random.Random(seed))
        self._sealer = Sealer(store=store, blobs=blobs, rows=rows, clock=clock, report=self._report)
        self._worker = Worker(
            store=store,
            blobs=blobs,
            queue=queue,
            executor=executor,
            clock=clock,
            sealable=self._sealer.add,
            report=self._report,
        )
        self._sweeper = Sweeper(
            store=store,
            blobs=blobs,
            clock=clock,
            halt=self._worker.halt_batch,
            sealable=self._sealer.add,
            report=self._report,
        )
        self.batches = Batches(
            store=store,
            blobs=blobs,
            queue=queue,
            clock=clock,
            halt=self._worker.halt_batch,
            sealable=self._sealer.add,
        )
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def problems(self) -> tuple[str, ...]:
        """What is not well now, a sentence each."""
        return tuple(f"{part}: {problem}" for part, problem in sorted(self._problems.items()))

    async def __aenter__(self) -> Self:
        """Line up what a stopped process left undone, and start."""
        self._queue.put(await self._store.open_jobs())
        await self.batches.seal_if_done()
        for part in (self._worker, self._sealer, self._sweeper):
            task = asyncio.create_task(part.run(), name=type(part).__name__.lower())
            task.add_done_callback(_tell_of_a_crash)
            self._tasks.append(task)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop claiming, let the calls under way finish within the grace, and flush what was answered."""
        worker, *others = self._tasks
        await _cancel([worker])
        await self._worker.drain(self._grace)
        await _cancel(others)

    async def abort(self) -> None:
        """End a drain that is going on: calls under way are given up."""
        await self._worker.abort()

    def _report(self, part: str, error: Exception | None) -> None:
        if error is not None:
            if part not in self._problems:
                logger.error("%s: %s", part, error, extra={"action": "problem", "part": part})
            self._problems[part] = str(error)
        elif self._problems.pop(part, None) is not None:
            logger.info("%s: well again", part, extra={"action": "problem_over", "part": part})


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _tell_of_a_crash(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        logger.critical("%s has crashed", task.get_name(), exc_info=task.exception())
