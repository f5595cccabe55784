"""Validates the input files of batches in the background, after the create has been answered.

Validation copies the file into the input blob of the batch, with each line in the form that the worker expects. So the
file may be deleted afterwards. One pass finds all faults; any fault fails the batch as a whole.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import aclosing

import msgspec

from batchgate.engine.intake.input_summary import new_input_hash
from batchgate.engine.intake.input_writer import write_input
from batchgate.engine.model.batch import Batch, InputFault, ValidatedInput
from batchgate.engine.model.clock import ExpiryClock
from batchgate.engine.model.errors import ClockError, QuotaExceeded
from batchgate.engine.model.file import File
from batchgate.engine.model.ids import new_id
from batchgate.engine.model.shard import Shard
from batchgate.engine.ports.blobs import Blobs, BlobWriter
from batchgate.engine.ports.body_readers import BatchFileReader, OpenBatchFile
from batchgate.engine.ports.cluster import Cluster
from batchgate.engine.ports.queue import Queue
from batchgate.engine.ports.store import Store
from batchgate.engine.ports.telemetry import Telemetry
from batchgate.engine.storage.hashing_writer import Hash
from batchgate.engine.storage.orphan_blobs import OrphanBlobs
from batchgate.engine.storage.verified_reading import verified
from batchgate.engine.support.batch_task_queue import BatchTaskQueue
from batchgate.engine.support.cancellation import shielded
from batchgate.engine.support.failpoints import hit_failpoint
from batchgate.engine.support.health_problems import HealthReporter
from batchgate.engine.support.prefetch import prefetch_next

logger = logging.getLogger(__name__)

FIRST_FAULTS = 10
"""The number of faults of a batch that lists of batches show."""
FILE_GONE = InputFault(
    code="invalid_request", message="The file was deleted or expired before it was validated.", param="file_id"
)
EXPIRED = InputFault(code="batch_expired", message="The file was not validated before the completion window expired.")


class FileValidator:
    """Validates the input files of batches, one after another."""

    def __init__(
        self,
        *,
        store: Store,
        blobs: Blobs,
        orphan_blobs: OrphanBlobs,
        queue: Queue,
        reader: OpenBatchFile,
        searchable_names: Callable[[Iterable[str]], tuple[str, ...]],
        unknown_prefix: Callable[[str, str], str | None],
        plan: Callable[[int], None],
        clock: ExpiryClock,
        cluster: Cluster,
        report: HealthReporter,
        telemetry: Telemetry,
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._orphan_blobs = orphan_blobs
        self._queue = queue
        self._reader = reader
        self._searchable_names = searchable_names
        self._unknown_prefix = unknown_prefix
        self._plan = plan
        self._clock = clock
        self._telemetry = telemetry
        self._tasks = BatchTaskQueue("validation", self._validate, cluster, report)

    def add(self, batch_key: int) -> None:
        """Enqueue a batch for validation; does nothing if it is enqueued already."""
        self._tasks.add(batch_key)

    async def run(self) -> None:
        """Validate until cancelled; a storage failure is retried later, and does not delay other batches."""
        await self._tasks.run()

    async def _validate(self, key: int) -> None:
        batch = await self._store.find_batch_by_key(key)
        if batch is None or batch.status != "validating":
            return
        if self._clock.has_passed(batch.expires_at):
            await self._fail(batch, [EXPIRED])
            return
        now = self._clock.now()
        file = await self._store.find_file(batch.workspace, batch.options.input_file or "", now)
        if file is not None:
            await self._read(batch, file)
        elif self._clock.problem is None:
            await self._fail(batch, [FILE_GONE])
        else:
            raise ClockError(f"the input file is deleted or has expired, but {self._clock.problem}")

    async def _read(self, batch: Batch, file: File) -> None:
        begun, reader = time.perf_counter(), self._reader(batch.options)
        # A new name each time: a process that was wrongly considered dead must not write to the blob of its successor.
        name = f"batches/{batch.id}/{new_id('input')}.jsonl"
        async with self._orphan_blobs.open_writer(batch.id, name) as writer:
            content_hash = new_input_hash()
            shards = await self._copy(file, reader, writer, content_hash)
            hit_failpoint("file_validated")
            faults = sorted((*reader.faults, *self._unknown_models(batch, reader)), key=_place)
            if not faults:
                try:
                    validated = self._validated(batch, name, content_hash.digest(), shards, reader)
                    await shielded(self._start(batch, validated, begun))
                except QuotaExceeded as error:
                    faults.append(InputFault(code="quota_exceeded", message=error.message))
        if faults:
            await self._fail(batch, faults)

    async def _copy(
        self, file: File, reader: BatchFileReader, writer: BlobWriter, content_hash: Hash
    ) -> tuple[Shard, ...]:
        """Copy the lines of a file; raises `DamagedBlob` if it is not what was uploaded.

        It is read to its end even if its first lines are faults enough: damage must not count as the caller's fault.
        """
        name = file.blob or ""
        stored = verified(name, self._blobs.stream(name, 0, file.size), size=file.size, sha256=file.sha256)

        async def pieces() -> AsyncIterator[bytes]:
            async with aclosing(prefetch_next(stored)) as stream:
                async for piece in stream:
                    if not reader.over_limit:
                        yield piece

        return await write_input(pieces(), reader, writer, content_hash)

    def _unknown_models(self, batch: Batch, reader: BatchFileReader) -> Iterator[InputFault]:
        """Yield a fault for each prefix of a model that names no account, with the first line that has it."""
        for prefix, line in reader.model_prefixes.items():
            if (message := self._unknown_prefix(batch.provider, prefix)) is not None:
                yield InputFault(code="model_not_found", message=f"{message}.", param="body.model", line=line)

    def _validated(
        self, batch: Batch, name: str, digest: bytes, shards: tuple[Shard, ...], reader: BatchFileReader
    ) -> ValidatedInput:
        prefixes = (*batch.options.model_prefixes, *reader.model_prefixes)
        return ValidatedInput(
            input_blob=name,
            input_hash=digest,
            shards=shards,
            providers=self._searchable_names((batch.provider, *prefixes)),
            model=reader.common_model(batch.options.model),
        )

    async def _start(self, batch: Batch, validated: ValidatedInput, begun: float) -> None:
        jobs = await self._store.start_batch(batch.key, validated, self._clock.now())
        if jobs is None:
            return  # it was canceled meanwhile
        hit_failpoint("batch_begun")
        self._queue.enqueue(jobs)
        if not jobs:
            self._plan(batch.key)
        started = await self._store.find_batch_by_key(batch.key)
        if started is not None:
            self._telemetry.batch_created(started, size=validated.input_size, seconds=time.perf_counter() - begun)

    async def _fail(self, batch: Batch, faults: Iterable[InputFault]) -> None:
        found = list(faults)
        encoded, first = msgspec.json.encode(found), msgspec.json.encode(found[:FIRST_FAULTS])
        if await self._store.fail_batch(batch.key, encoded, first, self._clock.now()):
            fields = {"action": "batch_failed", "batch": batch.id, "workspace": batch.workspace}
            logger.info("batch failed: its input file has %d faults", len(found), extra=fields)


def _place(fault: InputFault) -> tuple[bool, int]:
    """Return a sort key: by line, and faults of the whole file last."""
    return fault.line is None, fault.line or 0
