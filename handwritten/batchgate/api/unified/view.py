"""Files in the unified shape: what has no value is left out, and each object says how long the call took."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal, TypeAlias

from msgspec import UNSET

from batchgate.engine.clock import MICROSECONDS
from batchgate.engine.file import File, FilePage
from batchgate_api import gateway

RequestType: TypeAlias = Literal["file_upload", "file_list", "file_retrieve", "file_delete"]
ExtraFields: TypeAlias = Callable[[str], gateway.ExtraFields]
"""Makes the extra fields of an object of a provider."""


def begin(request_type: RequestType) -> ExtraFields:
    """Begin to measure what the extra fields are to say of this call."""
    begun = time.perf_counter()

    def extra_fields(provider: str) -> gateway.ExtraFields:
        latency = round(1000 * (time.perf_counter() - begun))
        return gateway.ExtraFields(request_type=request_type, provider=provider, latency=latency, chunk_index=0)

    return extra_fields


def unified_file(file: File, extra: ExtraFields) -> gateway.UnifiedFile:
    """Show one file."""
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
        extra_fields=extra(file.provider),
    )


def unified_file_list(page: FilePage, provider: str, extra: ExtraFields) -> gateway.UnifiedFileList:
    """Show a page of files of one provider."""
    return gateway.UnifiedFileList(
        object="list",
        data=[unified_file(file, extra) for file in page.files],
        has_more=page.has_more,
        after=page.files[-1].id if page.has_more else UNSET,
        extra_fields=extra(provider),
    )


def deleted_unified_file(file: File, extra: ExtraFields) -> gateway.DeletedUnifiedFile:
    """Tell that a file is gone."""
    return gateway.DeletedUnifiedFile(id=file.id, object="file", deleted=True, extra_fields=extra(file.provider))
