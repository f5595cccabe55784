"""What can be done with files: the engine's face towards the HTTP surfaces."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Collection
from pathlib import PurePath
from typing import Final

from msgspec import structs

from batchgate.engine.model.batch import Batch
from batchgate.engine.model.clock import DAY, MICROSECONDS, Clock
from batchgate.engine.model.errors import RefusedError
from batchgate.engine.model.file import File, FilePage, NewFile, Upload
from batchgate.engine.model.ids import new_file_id
from batchgate.engine.model.workspace import QuotaDemand, check_quotas, month_of
from batchgate.engine.ports.blobs import BlobWriter
from batchgate.engine.ports.body_readers import UploadReader
from batchgate.engine.ports.store import Store
from batchgate.engine.ports.tenant_store import TenantStore
from batchgate.engine.results.content_renderer import Content, ContentRenderer
from batchgate.engine.results.file_views import RESULT_PURPOSE, download_name, file_ids, is_part_stored, parse_view_id
from batchgate.engine.storage.hashing_writer import HashingWriter, next_piece
from batchgate.engine.storage.orphan_blobs import OrphanBlobs
from batchgate.engine.support.cancellation import shielded

MB: Final = 1024 * 1024
MAX_FILE: Final = 512 * MB
MAX_BATCH_INPUT: Final = 200 * MB
BATCH_LIFETIME: Final = 30 * DAY
"""How long a file for a batch is kept when its upload does not say; others are kept until they are deleted."""


class Files:
    """Takes files in, finds, lists and deletes them; a file of another workspace, or an expired one, does not exist."""

    def __init__(
        self, *, store: Store, tenants: TenantStore, contents: ContentRenderer, orphan_blobs: OrphanBlobs, clock: Clock
    ) -> None:
        self._store = store
        self._tenants = tenants
        self._contents = contents
        self._orphan_blobs = orphan_blobs
        self._clock = clock

    async def upload(self, workspace: str, body: AsyncIterator[bytes], reader: UploadReader) -> File:
        """Store a file as it arrives; raises `RefusedError`, and then nothing is stored."""
        file_id = new_file_id()
        blob = f"files/{file_id}/content"
        async with self._orphan_blobs.open_writer(file_id, blob) as writer:
            check_room = await self._check_of_room(workspace)
            upload, size, sha256 = await _take_in(body, reader, writer, check_room)
            now = self._clock.now()
            new = NewFile(
                id=file_id,
                workspace=workspace,
                provider=upload.provider,
                purpose=upload.purpose,
                filename=upload.filename,
                size=size,
                sha256=sha256,
                created_at=now,
                expires_at=_expiry(upload, now),
                blob=blob,
            )
            return await shielded(self._store.create_file(new))

    async def _check_of_room(self, workspace: str) -> Callable[[int], None]:
        """Make what refuses a file as soon as it is too large for its workspace; storing it checks once more."""
        found = await self._tenants.find_workspace(workspace)
        if found is None or found.quotas.stored_bytes is None:
            return lambda _: None
        quotas, use = found.quotas, await self._tenants.find_usage(workspace, month_of(self._clock.now()))
        return lambda size: check_quotas(workspace, quotas, use, QuotaDemand(stored_bytes=size))

    async def find(self, workspace: str, file_id: str, *, provider: str | None = None) -> File:
        """Read what is known of a file, of a provider if one is named; raises `RefusedError` when there is none."""
        file, batch = await self._find(workspace, file_id, provider)
        if file.part is None or batch is None or not parse_view_id(file.id):
            return file
        return structs.replace(file, size=await self._contents.part_size(batch, file.part))

    async def open(self, workspace: str, file_id: str, *, provider: str | None = None) -> tuple[File, Content]:
        """Find a file, and say what is in it; of a view, the size is left open."""
        file, batch = await self._find(workspace, file_id, provider)
        if file.blob is not None:
            return file, self._contents.stored_blob(file.blob, file.size)
        if batch is None or file.part is None or not is_part_stored(batch, file.part):
            raise file_not_found(file_id)
        return file, self._contents.batch_part(batch, file.part)

    async def _find(self, workspace: str, file_id: str, provider: str | None) -> tuple[File, Batch | None]:
        """Read what is known of a file, but for the size of a view, and the batch that it shows."""
        file = await self._store.find_file(workspace, file_id, self._clock.now())
        batch = await self._batch(workspace, file_id, file)
        if file is None and batch is not None:
            file = _view(batch, file_id)
        return _found(file, file_id, provider, () if batch is None else batch.providers), batch

    async def _batch(self, workspace: str, file_id: str, file: File | None) -> Batch | None:
        """Read the batch that a file, or a view by its id, shows."""
        found = parse_view_id(file_id)
        batch_id = found[0] if found and file is None else file.batch_id if file is not None else None
        return None if batch_id is None else await self._store.find_batch(workspace, batch_id)

    async def list(
        self,
        workspace: str,
        *,
        after: str | None,
        ascending: bool,
        purpose: str | None,
        provider: str | None,
        limit: int,
    ) -> FilePage:
        """Read a page by the time of upload, from right after the file ``after`` on.

        That may be a file which is gone since; raises `RefusedError` when there never was one.
        """
        return await self._store.list_files(
            workspace,
            after=await self._cursor(workspace, after),
            ascending=ascending,
            purpose=purpose,
            provider=provider,
            now=self._clock.now(),
            limit=limit,
        )

    async def delete(self, workspace: str, file_id: str, *, provider: str | None = None) -> File:
        """Delete a file and its content; raises `RefusedError` when there is none, or it only shows a batch.

        With the last of the files of a batch its results go.
        """
        if provider is not None or parse_view_id(file_id):
            found, _ = await self._find(workspace, file_id, provider)
            if parse_view_id(found.id):
                message = f"File {file_id!r} is a view of batch {found.batch_id} and goes with it; delete the batch."
                raise RefusedError("invalid_request_error", message, param="id")
        deleted = await self._store.delete_file(workspace, file_id, self._clock.now())
        if deleted is None:
            raise file_not_found(file_id)
        if deleted.blob is not None:
            await self._orphan_blobs.remove(deleted.blob)
        return deleted

    async def _cursor(self, workspace: str, file_id: str | None) -> int | None:
        if file_id is None:
            return None
        key = await self._store.find_file_cursor(workspace, file_id)
        if key is None:
            message = f"after: there is no file {file_id!r} to page from"
            raise RefusedError("invalid_request_error", message, param="after")
        return key


async def _take_in(
    body: AsyncIterator[bytes], reader: UploadReader, writer: BlobWriter, check_room: Callable[[int], None]
) -> tuple[Upload, int, bytes]:
    """Write the content, and return with it what its upload says, its size, and its SHA-256."""
    sha256, size = hashlib.sha256(), 0
    behind = HashingWriter(writer, sha256)
    try:
        async for data in body:
            parts = reader.feed(data)
            while (piece := await next_piece(parts, in_thread=reader.is_compressed)) is not None:
                size += len(piece)
                _check_size(reader.purpose, size)
                check_room(size)
                await behind.write(piece)
        upload = await asyncio.to_thread(reader.finish)
        _check(upload, size)
        await behind.flush()
        await writer.commit()
    except BaseException:
        await behind.cancel()
        raise
    return upload, size, sha256.digest()


def _check(upload: Upload, size: int) -> None:
    if not size:
        raise RefusedError("invalid_request_error", "file: it is empty", param="file", code="empty_file")
    _check_size(upload.purpose, size)
    # Data that has no name of its own goes without an ending: the SDKs call it "upload" or the like.
    if upload.purpose == "batch" and PurePath(upload.filename).suffix not in {"", ".jsonl"}:
        message = f"file: the input of a batch is a .jsonl file, and this is called {upload.filename!r}"
        raise RefusedError("invalid_request_error", message, param="file", code="invalid_file_format")


def _check_size(purpose: str | None, size: int) -> None:
    limit = MAX_BATCH_INPUT if purpose == "batch" else MAX_FILE
    if size > limit:
        which = "for a batch" if purpose == "batch" else "of any kind"
        message = f"file: one {which} may have at most {limit} bytes"
        raise RefusedError("request_too_large", message, param="file", code="file_too_large")


def _expiry(upload: Upload, now: int) -> int | None:
    """Tell when a file expires: in a whole second, as it is shown."""
    begins = now - now % MICROSECONDS
    if upload.lifetime is not None:
        return begins + upload.lifetime * MICROSECONDS
    return begins + BATCH_LIFETIME if upload.purpose == "batch" else None


def _view(batch: Batch, file_id: str) -> File | None:
    """Describe a view of a batch, but for its size; None where it has no such part, or a file for it."""
    found = parse_view_id(file_id)
    if found is None or file_id not in structs.asdict(file_ids(batch)).values() or not is_part_stored(batch, found[1]):
        return None
    part = found[1]
    return File(
        key=0,
        id=file_id,
        workspace=batch.workspace,
        provider=batch.provider,
        purpose="batch" if part == "input" else RESULT_PURPOSE,
        filename=download_name(batch, part),
        size=0,
        sha256=b"",
        created_at=batch.created_at if part == "input" or batch.ended_at is None else batch.ended_at,
        expires_at=None,
        blob=None,
        batch_id=batch.id,
        part=part,
    )


def file_not_found(file_id: str) -> RefusedError:
    """Refuse what asks for a file that does not exist."""
    return RefusedError("not_found_error", f"There is no file {file_id!r} in this workspace.", param="id")


def _found(file: File | None, file_id: str, provider: str | None, providers: Collection[str]) -> File:
    """Check that a file is there, and was uploaded for the provider, or shows a batch that ran on it."""
    if file is None:
        raise file_not_found(file_id)
    if provider is not None and provider not in {file.provider, *providers}:
        made = "uploaded" if file.batch_id is None else "made"
        message = f"File {file_id!r} was {made} for {file.provider}, not for {provider}."
        raise RefusedError("not_found_error", message, param="provider")
    return file
