"""Files in the unified shape; fields without a value are omitted."""

from __future__ import annotations

from msgspec import UNSET

from batchgate.api.unified.extra_fields import ExtraFields
from batchgate.engine.model.clock import MICROSECONDS
from batchgate.engine.model.file import File, FilePage
from batchgate_api import gateway


def unified_file(file: File, provider: str, extra: ExtraFields) -> gateway.UnifiedFile:
    """Return a file object for the provider that the caller named."""
    return gateway.UnifiedFile(
        id=file.id,
        object="file",
        bytes=file.size,
        created_at=file.created_at // MICROSECONDS,
        filename=file.filename,
        purpose=file.purpose,
        status="processed",
        expires_at=UNSET if file.expires_at is None else file.expires_at // MICROSECONDS,
        storage_backend="api",
        extra_fields=extra(provider, None),
    )


def unified_file_list(page: FilePage, provider: str, extra: ExtraFields) -> gateway.UnifiedFileList:
    """Return a page of files of a provider."""
    return gateway.UnifiedFileList(
        object="list",
        data=[unified_file(file, provider, extra) for file in page.files],
        has_more=page.has_more,
        after=page.files[-1].id if page.has_more else UNSET,
        extra_fields=extra(provider, None),
    )


def deleted_unified_file(file: File, provider: str, extra: ExtraFields) -> gateway.DeletedUnifiedFile:
    """Return the confirmation of a deletion."""
    return gateway.DeletedUnifiedFile(id=file.id, object="file", deleted=True, extra_fields=extra(provider, None))
