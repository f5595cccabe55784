"""Validation: turns the file that a batch is made from into its input, behind the answer to the create.

The input is a copy in which each line is as the worker expects it, so that the file may be deleted at any time after.
Whatever is wrong with the file is found in one pass, and fails the batch as a whole.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable

import msgspec

from batchgate.engine.intake.input_writer import write_input
from batchgate.engine.model.batch import Batch, BatchOptions, InputFault, ValidatedInput
from batchgate.engine.model.clock import Clock
from batchgate.engine.model.errors import QuotaExceeded
from batchgate.engine.model.file import File
from batchgate.engine.model.ids import new_id
from batchgate.engine.model.shard import Shard
from batchgate.engine.ports.blobs import Blobs, BlobWriter
from batchgate.engine.ports.body_readers import FileReader
from batchgate.engine.ports.cluster import Cluster
from batchgate.engine.ports.queue import Queue
from batchgate.engine.ports.store import Store
from batchgate.engine.ports.telemetry import Telemetry
from batchgate.engine.storage.orphan_blobs import OrphanBlobs
from batchgate.engine.support.batch_tasks import BatchTasks
from batchgate.engine.support.cancellation import shielded
from batchgate.engine.support.failpoints import hit
from batchgate.engine.support.health_problems import ReportHealth

logger = logging.getLogger(__name__)

FIRST_FAULTS = 10
"""How many faults a list of batches shows of each."""
FILE_GONE = InputFault(code="file_not_found", message="The file was deleted, or has expired, before it was read.")
EXPIRED = InputFault(code="batch_expired", message="The file could not be read before the completion window expired.")


class FileValidator:
    """Validates the files of one batch after another, as they are handed to it."""

    def __init__(
        self,
        *,
        store: Store,
        blobs: Blobs,
        orphan_blobs: OrphanBlobs,
        queue: Queue,
        reader: Callable[[BatchOptions], FileReader],
        names_of: Callable[[Iterable[str]], tuple[str, ...]],
        clock: Clock,
        cluster: Cluster,
        report: ReportHealth,
        telemetry: Telemetry,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._orphan_blobs = orphan_blobs
        self._queue = queue
        self._reader = reader
        self._names_of = names_of
        self._clock = clock
        self._telemetry = telemetry
        self._tasks = BatchTasks("validation", self._validate, cluster, report)

    def add(self, batch_key: int) -> None:
        """Line up a batch whose file is to be validated; asked twice, it is validated once."""
        self._tasks.add(batch_key)

    async def run(self) -> None:
        """Validate until cancelled; what storage does not give is tried again, and holds up no other batch."""
        await self._tasks.run()

    async def _validate(self, key: int) -> None:
        batch = await self._store.find_batch_by_key(key)
        if batch is None or batch.status != "validating":
            return
        now = self._clock.now()
        if now >= batch.expires_at:
            await self._fail(batch, [EXPIRED])
            return
        file = await self._store.find_file(batch.workspace, batch.options.input_file or "", now)
        if file is None:
            await self._fail(batch, [FILE_GONE])
        else:
            await self._read(batch, file)

    async def _read(self, batch: Batch, file: File) -> None:
        begun, reader = time.perf_counter(), self._reader(batch.options)
        # A new name each time: two gateways that take each other for dead must not write to one blob.
        name = f"batches/{batch.id}/{new_id('input')}.jsonl"
        async with self._orphan_blobs.open_writer(batch.id, name) as writer:
            shards = await self._take_in(file, reader, writer)
            hit("file_validated")
            faults = list(reader.faults)
            if not faults:
                try:
                    await shielded(self._begin(batch, name, shards, reader.model_prefixes, begun))
                except QuotaExceeded as error:
                    faults.append(InputFault(code="quota_exceeded", message=error.message))
        if faults:
            await self._fail(batch, faults)

    async def _take_in(self, file: File, reader: FileReader, writer: BlobWriter) -> tuple[Shard, ...]:
        async def pieces() -> AsyncIterator[bytes]:
            async for piece in self._blobs.stream(file.blob or "", 0, file.size):
                if reader.over_limit:
                    return
                yield piece

        return await write_input(pieces(), reader, writer)

    async def _begin(
        self, batch: Batch, name: str, shards: tuple[Shard, ...], prefixes: Collection[str], begun: float
    ) -> None:
        providers = self._names_of((batch.provider, *batch.options.model_prefixes, *prefixes))
        requests = ValidatedInput(input_blob=name, shards=shards, providers=providers)
        jobs = await self._store.start_batch(batch.key, requests, self._clock.now())
        if jobs is None:
            return  # canceled meanwhile
        hit("batch_begun")
        self._queue.enqueue(jobs)
        now = await self._store.find_batch_by_key(batch.key)
        if now is not None:
            size = sum(shard.length for shard in shards)
            self._telemetry.batch_created(now, size=size, seconds=time.perf_counter() - begun)

    async def _fail(self, batch: Batch, faults: Iterable[InputFault]) -> None:
        found = list(faults)
        told, first = msgspec.json.encode(found), msgspec.json.encode(found[:FIRST_FAULTS])
        if await self._store.fail_batch(batch.key, told, first, self._clock.now()):
            fields = {"action": "batch_failed", "batch": batch.id, "workspace": batch.workspace}
            logger.info("batch failed: its file has %d faults", len(found), extra=fields)
