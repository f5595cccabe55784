"""Files: the operations that the HTTP APIs call."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from typing import Final

from msgspec import structs

from batchgate.engine.intake.upload_writer import write_upload
from batchgate.engine.lifecycle.early_quota_check import EarlyQuotaCheck
from batchgate.engine.model.batch import Batch
from batchgate.engine.model.clock import DAY, MICROSECONDS, Clock
from batchgate.engine.model.errors import RefusedError
from batchgate.engine.model.file import RESULT_PURPOSE, File, FilePage, NewFile, Upload, counted_size
from batchgate.engine.model.ids import new_file_id
from batchgate.engine.model.stored_blob import stored_file
from batchgate.engine.model.workspace import SMALLEST_FILE, QuotaDemand
from batchgate.engine.ports.body_readers import UploadReader
from batchgate.engine.ports.store import Store
from batchgate.engine.results.content_renderer import ContentRenderer, RenderedContent
from batchgate.engine.results.file_views import (
    batch_file_ids,
    download_name,
    is_part_stored,
    parse_view_id,
)
from batchgate.engine.storage.orphan_blobs import OrphanBlobs
from batchgate.engine.support.cancellation import shielded

BATCH_LIFETIME: Final = 30 * DAY
"""The default time for which an input file of a batch is kept; other files are kept until they are deleted."""


class Files:
    """Stores, finds, lists and deletes files; callers never see expired files or those of other workspaces."""

    def __init__(
        self,
        *,
        store: Store,
        early_quotas: EarlyQuotaCheck,
        contents: ContentRenderer,
        orphan_blobs: OrphanBlobs,
        clock: Clock,
    ) -> None:
        self._store = store
        self._early_quotas = early_quotas
        self._contents = contents
        self._orphan_blobs = orphan_blobs
        self._clock = clock

    async def upload(self, workspace: str, body: AsyncIterator[bytes], reader: UploadReader) -> File:
        """Store a file while it arrives; raises `RefusedError`, and then stores nothing."""
        check = await self._early_quotas.check(workspace, SMALLEST_FILE)

        def check_size(size: int) -> None:
            check(QuotaDemand(stored_bytes=counted_size(size)))

        file_id = new_file_id()
        blob = f"files/{file_id}/content"
        async with self._orphan_blobs.open_writer(file_id, blob) as writer:
            upload, size, sha256 = await write_upload(body, reader, writer, check_size)
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
                mime_type=upload.mime_type,
            )
            return await shielded(self._store.create_file(new))

    async def find(self, workspace: str, file_id: str, *, provider: str | None = None) -> File:
        """Return a file, which must be of ``provider`` if given; raises `RefusedError` if there is none."""
        file, batch = await self._find(workspace, file_id, provider)
        return await self._with_size(file, batch)

    async def find_all(self, workspace: str, file_ids: Iterable[str]) -> Sequence[File]:
        """Return the files of these ids, newest first; ids without a file are left out."""
        looked_up = [await self._look_up(workspace, file_id) for file_id in dict.fromkeys(file_ids)]
        files = [await self._with_size(file, batch) for file, batch in looked_up if file is not None]
        return sorted(files, key=lambda file: (file.created_at, file.key), reverse=True)

    async def _with_size(self, file: File, batch: Batch | None) -> File:
        """Compute the size of a view; other files have theirs."""
        if file.part is None or batch is None or not parse_view_id(file.id):
            return file
        return structs.replace(file, size=await self._contents.part_size(batch, file.part))

    async def open(self, workspace: str, file_id: str, *, provider: str | None = None) -> tuple[File, RenderedContent]:
        """Return a file and its content; the size of a view is left as 0."""
        file, batch = await self._find(workspace, file_id, provider)
        if file.blob is not None:
            return file, self._contents.stored_blob(stored_file(file))
        if batch is None or file.part is None or not is_part_stored(batch, file.part):
            raise file_not_found(file_id)
        content = self._contents.batch_part(batch, file.part)
        return file, structs.replace(content, sha256=file.sha256 or content.sha256)

    async def _find(self, workspace: str, file_id: str, provider: str | None) -> tuple[File, Batch | None]:
        """Return a file and the batch that it shows; the size of a view is left as 0."""
        file, batch = await self._look_up(workspace, file_id)
        return _require(file, file_id, provider, () if batch is None else batch.providers), batch

    async def _look_up(self, workspace: str, file_id: str) -> tuple[File | None, Batch | None]:
        file = await self._store.find_file(workspace, file_id, self._clock.now())
        batch = await self._batch(workspace, file_id, file)
        if file is None and batch is not None:
            file = _view(batch, file_id)
        return file, batch

    async def _batch(self, workspace: str, file_id: str, file: File | None) -> Batch | None:
        """Return the batch that a file shows, or that the id of a view names."""
        if file is None:
            view = parse_view_id(file_id)
            batch_id = None if view is None else view[0]
        else:
            batch_id = file.batch_id
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
        """Return a page in the order of upload, starting after the file ``after``.

        This file may be deleted or expired; raises `RefusedError` if it never existed.
        """
        return await self._store.list_files(
            workspace,
            after=await self._cursor(workspace, "after", after),
            ascending=ascending,
            purpose=purpose,
            provider=provider,
            now=self._clock.now(),
            limit=limit,
        )

    async def list_around(
        self,
        workspace: str,
        *,
        after: str | None,
        before: str | None,
        provider: str | None,
        limit: int,
        after_name: str,
        before_name: str,
    ) -> FilePage:
        """Return a page of files, newest first: directly after (older than) one file, directly before another.

        With both, the page lies strictly between them. ``has_more`` is about newer files if only ``before`` is given.
        These files may be deleted or expired; raises `RefusedError` if they never existed, naming the parameter.
        """
        older_than = await self._cursor(workspace, after_name, after)
        newer_than = await self._cursor(workspace, before_name, before)
        backwards = newer_than is not None and older_than is None
        page = await self._store.list_files(
            workspace,
            after=newer_than if backwards else older_than,
            ascending=backwards,
            purpose=None,
            provider=provider,
            now=self._clock.now(),
            limit=limit + 1,
        )
        files = [file for file in page.files if newer_than is None or file.key > newer_than]
        shown = files[:limit]
        return FilePage(files=tuple(reversed(shown) if backwards else shown), has_more=len(files) > limit)

    async def delete(self, workspace: str, file_id: str, *, provider: str | None = None) -> File:
        """Delete a file and its content; raises `RefusedError` if there is none, or if it is a view.

        Deleting the last result file of a batch deletes its results.
        """
        if provider is not None or parse_view_id(file_id):
            found, _ = await self._find(workspace, file_id, provider)
            if parse_view_id(found.id):
                message = (
                    f"File {file_id!r} is a view of batch {found.batch_id} and is deleted with it; delete the batch."
                )
                raise RefusedError("invalid_request_error", message, param="id")
        deleted = await self._store.delete_file(workspace, file_id, self._clock.now())
        if deleted is None:
            raise file_not_found(file_id)
        if deleted.blob is not None:
            await self._orphan_blobs.remove(deleted.blob)
        return deleted

    async def _cursor(self, workspace: str, name: str, file_id: str | None) -> int | None:
        if file_id is None:
            return None
        key = await self._store.find_file_cursor(workspace, file_id)
        if key is None:
            message = f"{name}: there is no file {file_id!r} to page from"
            raise RefusedError("invalid_request_error", message, param=name)
        return key


def _expiry(upload: Upload, now: int) -> int | None:
    """Return when a file expires, in whole seconds, as the APIs return it."""
    whole_second = now - now % MICROSECONDS
    if upload.lifetime is not None:
        return whole_second + upload.lifetime * MICROSECONDS
    return whole_second + BATCH_LIFETIME if upload.purpose == "batch" else None


def _view(batch: Batch, file_id: str) -> File | None:
    """Return a view of a batch, with size 0; None if the batch has no such part, or has a stored file for it."""
    view = parse_view_id(file_id)
    if (
        view is None
        or file_id not in structs.asdict(batch_file_ids(batch)).values()
        or not is_part_stored(batch, view[1])
    ):
        return None
    part = view[1]
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
    """Return the error for a file that does not exist."""
    return RefusedError("not_found_error", f"There is no file {file_id!r} in this workspace.", param="id")


def _require(file: File | None, file_id: str, provider: str | None, providers: Collection[str]) -> File:
    """Check that a file exists, and that it was uploaded for the provider or shows a batch that ran on it."""
    if file is None:
        raise file_not_found(file_id)
    if provider is not None and provider not in {file.provider, *providers}:
        verb = "uploaded" if file.batch_id is None else "made"
        message = f"File {file_id!r} was {verb} for {file.provider}, not for {provider}."
        raise RefusedError("not_found_error", message, param="provider")
    return file
