"""What the requests of a claimed shard store beside their results: tasks that run for them, and files that they made.

A task is stored before it is polled, so that the next claim of the shard polls on. A file is stored by the transaction
that stores its result; until then its blob is an orphan, which this process removes at the end of the run, and any
other process after its end.
"""

from __future__ import annotations

import asyncio
import hashlib
import mimetypes
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Final

import msgspec

from batchgate.engine.model.claim import Claim
from batchgate.engine.model.clock import Clock
from batchgate.engine.model.errors import BlobError, NoUpstreamAnswer, StaleClaim, StoreError
from batchgate.engine.model.file import RESULT_PURPOSE, NewFile
from batchgate.engine.model.ids import new_file_id
from batchgate.engine.model.provider_call import Account, UpstreamResponse
from batchgate.engine.model.provider_task import ProviderTask
from batchgate.engine.ports.blobs import BlobWriter
from batchgate.engine.ports.store import Store
from batchgate.engine.storage.hashing_writer import HashingWriter
from batchgate.engine.storage.orphan_blobs import OrphanBlobs
from batchgate.engine.support.cancellation import shielded
from batchgate.engine.support.failpoints import hit_failpoint
from batchgate.engine.support.health_problems import HealthReporter

STORAGE_RETRY: Final = 1.0
"""Seconds between attempts when the store fails."""
BINARY: Final = "application/octet-stream"

Receive = Callable[[Callable[[bytes], Awaitable[None]]], Awaitable[UpstreamResponse]]
"""Makes a call, passes the content of its answer on in pieces, and returns the response without it."""


def output_answer(output: NewFile) -> bytes:
    """Return what a result says about the file that the request made."""
    return msgspec.json.encode({"file_id": output.id, "content_type": output.mime_type, "bytes": output.size})


class ShardExtras:
    """The tasks and files of the requests of one claim; use it with ``async with`` around the run of the shard."""

    def __init__(
        self,
        claim: Claim,
        *,
        store: Store,
        orphan_blobs: OrphanBlobs,
        clock: Clock,
        max_output_bytes: int,
        report: HealthReporter,
    ) -> None:
        self._claim = claim
        self._store = store
        self._orphan_blobs = orphan_blobs
        self._clock = clock
        self._max_output_bytes = max_output_bytes
        self._report = report
        self._tasks: dict[int, ProviderTask] | None = None
        """The stored tasks by seq; None until they have been read."""
        self._reading = asyncio.Lock()
        self._outputs = AsyncExitStack()

    async def __aenter__(self) -> None:
        """Do nothing: tasks are read when a request needs them."""

    async def __aexit__(self, *_: object) -> None:
        """Remove the blobs of files whose results were not stored."""
        await self._outputs.aclose()

    async def read_tasks_of_moved_batch(self, is_held_back: Callable[[], bool]) -> None:
        """Read the tasks if the batch was moved to another lane, unless its requests are held back by then."""
        if self._claim.batch.lane_changes:
            await self._read_tasks(is_held_back)

    async def find_task(self, seq: int) -> ProviderTask | None:
        """Return the task of a request that an earlier claim of the shard has stored, or this one."""
        return (await self._read_tasks(lambda: False)).get(seq)

    def has_task(self, seq: int) -> bool:
        """Return whether a request of a batch that was moved has a task: its result counts in every lane."""
        return self._tasks is not None and seq in self._tasks

    async def _read_tasks(self, is_held_back: Callable[[], bool]) -> dict[int, ProviderTask]:
        """Read the tasks once, and try again while the store fails; none if the requests are held back before."""
        async with self._reading:
            while self._tasks is None and not is_held_back():
                try:
                    self._tasks = {task.seq: task for task in await self._store.tasks_of(self._claim)}
                except StoreError as error:
                    self._report("tasks", error)
                    await asyncio.sleep(STORAGE_RETRY)
            self._report("tasks", None)
        return self._tasks or {}

    async def save_task(self, seq: int, account: str, task_id: str) -> ProviderTask:
        """Store the task that was created for a request, and try again while the store fails.

        Raises `StaleClaim` if the shard has been claimed again since: then another worker runs the request.
        """
        task = ProviderTask(
            batch_key=self._claim.batch.key, seq=seq, account=account, task_id=task_id, created_at=self._clock.now()
        )
        hit_failpoint("task_created")
        while True:
            try:
                await shielded(self._store.save_task(self._claim, task))
            except StaleClaim:
                raise
            except StoreError as error:
                self._report("tasks", error)
                await asyncio.sleep(STORAGE_RETRY)
            else:
                break
        self._report("tasks", None)
        if self._tasks is not None:
            self._tasks[seq] = task
        hit_failpoint("task_stored")
        return task

    async def receive_output(self, account: Account, receive: Receive) -> tuple[UpstreamResponse, NewFile | None]:
        """Store the content of an answer as a file, piece by piece; None for an answer without content.

        The file gets its row with the result of the request. Raises `NoUpstreamAnswer` for content that is too large
        or cannot be stored.
        """
        async with AsyncExitStack() as writing:
            content = _Content(self._orphan_blobs, writing, self._max_output_bytes)
            try:
                response = await receive(content.write)
                if not content.size:
                    return response, None
                await content.finish()
            except (BlobError, StoreError) as error:
                message = f"the answer cannot be stored: {type(error).__name__}"
                raise NoUpstreamAnswer("api_error", message, status=0, retry_safe=False) from error
            hit_failpoint("output_written")
            self._outputs.push_async_exit(writing.pop_all())
            return response, self._new_file(account, content, response.headers.get("content-type", BINARY))

    def _new_file(self, account: Account, content: _Content, content_type: str) -> NewFile:
        media_type = content_type.partition(";")[0].strip().lower() or BINARY
        return NewFile(
            id=content.file_id,
            workspace=self._claim.batch.workspace,
            provider=account.provider,
            purpose=RESULT_PURPOSE,
            filename=content.file_id + (mimetypes.guess_extension(media_type) or ""),
            size=content.size,
            sha256=content.sha256.digest(),
            created_at=self._clock.now(),
            expires_at=None,
            blob=content.blob,
            mime_type=media_type,
            output_of=self._claim.batch.key,
        )


class _Content:
    """Writes the pieces of one answer to a new blob, which is opened for the first of them."""

    def __init__(self, orphan_blobs: OrphanBlobs, writing: AsyncExitStack, max_bytes: int) -> None:
        self.file_id: Final = new_file_id()
        self.blob: Final = f"files/{self.file_id}/content"
        self.sha256: Final = hashlib.sha256()
        self.size = 0
        self._orphan_blobs = orphan_blobs
        self._writing = writing
        self._max_bytes = max_bytes
        self._writer: BlobWriter | None = None
        self._hashing: HashingWriter | None = None

    async def write(self, data: bytes) -> None:
        """Append a piece; raises `NoUpstreamAnswer` if there are too many bytes."""
        self.size += len(data)
        if self.size > self._max_bytes:
            message = f"the answer has more than {self._max_bytes} bytes (max_output_file_bytes)"
            raise NoUpstreamAnswer("request_too_large", message, status=0, retry_safe=False)
        if self._hashing is None:
            opened = self._orphan_blobs.open_writer(self.file_id, self.blob)
            self._writer = await self._writing.enter_async_context(opened)
            self._hashing = HashingWriter(self._writer, self.sha256)
            self._writing.push_async_callback(self._hashing.cancel)
        await self._hashing.write(data)

    async def finish(self) -> None:
        """Make the blob complete."""
        assert self._hashing is not None
        assert self._writer is not None
        await self._hashing.flush()
        await self._writer.commit()
