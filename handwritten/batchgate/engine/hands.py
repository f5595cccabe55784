"""The parts of the engine that do the work: the worker, the sealer, the validator, and the sweeper among them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Protocol

from batchgate.engine.appetite import Appetite
from batchgate.engine.batch import Dialect, Terms
from batchgate.engine.clock import Clock
from batchgate.engine.execution import Executor
from batchgate.engine.intake import FileReader
from batchgate.engine.loose_blobs import LooseBlobs
from batchgate.engine.peers import Peers
from batchgate.engine.ports import Blobs, Queue, Store
from batchgate.engine.problems import Report
from batchgate.engine.routing import Router
from batchgate.engine.rows import RowFormat
from batchgate.engine.sealing import Sealer
from batchgate.engine.sweeper import Sweeper
from batchgate.engine.telemetry import Telemetry
from batchgate.engine.validating import Validator
from batchgate.engine.worker import Worker


class Hands(Protocol):
    """Told of what is to be done for a batch at once; whatever is not told is found by the sweeper."""

    def halt(self, batch_key: int) -> None:
        """Send nothing more of a batch."""
        ...

    def seal(self, batch_key: int) -> None:
        """Seal a batch whose shards are all done."""
        ...

    def validate(self, batch_key: int) -> None:
        """Validate the file of a batch."""
        ...


class NoHands:
    """The `Hands` of a gateway without a worker: the store tells the processes that have one."""

    def halt(self, batch_key: int) -> None:
        """Leave it to others."""

    def seal(self, batch_key: int) -> None:
        """Leave it to others."""

    def validate(self, batch_key: int) -> None:
        """Leave it to others."""


class OwnHands:
    """The `Hands` of a process with a worker."""

    def __init__(
        self,
        *,
        store: Store,
        blobs: Blobs,
        loose_blobs: LooseBlobs,
        queue: Queue,
        appetite: Appetite,
        peers: Peers,
        router: Router,
        executor: Executor,
        rows: Mapping[Dialect, RowFormat],
        file_reader: Callable[[Terms], FileReader],
        clock: Clock,
        report: Report,
        telemetry: Telemetry,
    ) -> None:
        self.sealer = Sealer(
            store=store,
            blobs=blobs,
            loose_blobs=loose_blobs,
            rows=rows,
            clock=clock,
            peers=peers,
            report=report,
            telemetry=telemetry,
        )
        self.worker = Worker(
            store=store,
            blobs=blobs,
            queue=queue,
            appetite=appetite,
            executor=executor,
            clock=clock,
            sealable=self.sealer.add,
            report=report,
            telemetry=telemetry,
            concurrency=router.concurrency,
        )
        self.validator = Validator(
            store=store,
            blobs=blobs,
            loose_blobs=loose_blobs,
            queue=queue,
            reader=file_reader,
            names_of=router.names_of,
            clock=clock,
            peers=peers,
            report=report,
            telemetry=telemetry,
        )
        self.sweeper = Sweeper(
            store=store,
            loose_blobs=loose_blobs,
            clock=clock,
            peers=peers,
            halt=self.halt,
            sealable=self.seal,
            validate=self.validate,
            hurry=self.hurry,
            restore=queue.restore,
            report=report,
        )
        self._router = router
        self._restore = queue.restore

    @property
    def tasks(self) -> Mapping[str, Callable[[], Coroutine[None, None, None]]]:
        """What runs from the start on, by name, beside the worker."""
        return {"sealer": self.sealer.run, "validator": self.validator.run, "sweeper": self.sweeper.run}

    async def take_up(self) -> None:
        """Line up what stopped processes left undone."""
        await self._restore()
        await self.sweeper.hand_over()

    async def hurry(self, batch_keys: Sequence[int]) -> None:
        """Put these batches before all others, wherever they wait."""
        self._router.hurry(batch_keys)
        await self.worker.hurry(batch_keys)

    def halt(self, batch_key: int) -> None:
        """Send nothing more of a batch."""
        self.worker.halt_batch(batch_key)

    def seal(self, batch_key: int) -> None:
        """Seal a batch whose shards are all done."""
        self.sealer.add(batch_key)

    def validate(self, batch_key: int) -> None:
        """Validate the file of a batch."""
        self.validator.add(batch_key)
