"""The parts of the engine that do the work: the worker, the finalizer, the validator, and the sweeper among them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence

from batchgate.engine.dispatch.claim_policy import ClaimPolicy
from batchgate.engine.dispatch.executor import Executor
from batchgate.engine.dispatch.router import Router
from batchgate.engine.dispatch.worker import Worker
from batchgate.engine.intake.file_validation import FileValidator
from batchgate.engine.lifecycle.sweeper import Sweeper
from batchgate.engine.model.batch import BatchOptions, Dialect
from batchgate.engine.model.clock import Clock
from batchgate.engine.ports.blobs import Blobs
from batchgate.engine.ports.body_readers import FileReader
from batchgate.engine.ports.cluster import Cluster
from batchgate.engine.ports.queue import Queue
from batchgate.engine.ports.rows import RowFormat
from batchgate.engine.ports.store import Store
from batchgate.engine.ports.telemetry import Telemetry
from batchgate.engine.results.finalizer import Finalizer
from batchgate.engine.storage.orphan_blobs import OrphanBlobs
from batchgate.engine.support.health_problems import ReportHealth


class BackgroundServices:
    """The `Hands` of a process with a worker."""

    def __init__(
        self,
        *,
        store: Store,
        blobs: Blobs,
        orphan_blobs: OrphanBlobs,
        queue: Queue,
        claim_policy: ClaimPolicy,
        cluster: Cluster,
        router: Router,
        executor: Executor,
        rows: Mapping[Dialect, RowFormat],
        file_reader: Callable[[BatchOptions], FileReader],
        clock: Clock,
        report: ReportHealth,
        telemetry: Telemetry,
    ) -> None:
        self.finalizer = Finalizer(
            store=store,
            blobs=blobs,
            orphan_blobs=orphan_blobs,
            rows=rows,
            clock=clock,
            cluster=cluster,
            report=report,
            telemetry=telemetry,
        )
        self.worker = Worker(
            store=store,
            blobs=blobs,
            queue=queue,
            claim_policy=claim_policy,
            executor=executor,
            clock=clock,
            finalize=self.finalizer.add,
            report=report,
            telemetry=telemetry,
            concurrency=router.concurrency,
        )
        self.validator = FileValidator(
            store=store,
            blobs=blobs,
            orphan_blobs=orphan_blobs,
            queue=queue,
            reader=file_reader,
            names_of=router.names_of,
            clock=clock,
            cluster=cluster,
            report=report,
            telemetry=telemetry,
        )
        self.sweeper = Sweeper(
            store=store,
            orphan_blobs=orphan_blobs,
            clock=clock,
            cluster=cluster,
            stop_sending=self.stop_sending,
            finalize=self.finalize,
            validate=self.validate,
            expedite=self.expedite,
            restore=queue.enqueue_missing,
            report=report,
        )
        self._router = router
        self._restore = queue.enqueue_missing

    @property
    def tasks(self) -> Mapping[str, Callable[[], Coroutine[None, None, None]]]:
        """What runs from the start on, by name, beside the worker."""
        return {"finalizer": self.finalizer.run, "validator": self.validator.run, "sweeper": self.sweeper.run}

    async def resume(self) -> None:
        """Line up what stopped processes left undone."""
        await self._restore()
        await self.sweeper.signal_waiting_batches()

    async def expedite(self, batch_keys: Sequence[int]) -> None:
        """Put these batches before all others, wherever they wait."""
        self._router.expedite(batch_keys)
        await self.worker.expedite(batch_keys)

    def stop_sending(self, batch_key: int) -> None:
        """Send nothing more of a batch."""
        self.worker.stop_batch(batch_key)

    def finalize(self, batch_key: int) -> None:
        """Finalize a batch whose shards are all done."""
        self.finalizer.add(batch_key)

    def validate(self, batch_key: int) -> None:
        """Validate the file of a batch."""
        self.validator.add(batch_key)
