"""What each object of the unified surface says of the call that it answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal, TypeAlias

from msgspec import UNSET

from batchgate_api import gateway

RequestType: TypeAlias = Literal[
    "file_upload",
    "file_list",
    "file_retrieve",
    "file_delete",
    "batch_create",
    "batch_list",
    "batch_retrieve",
    "batch_cancel",
    "batch_results",
]
ExtraFields: TypeAlias = Callable[[str, str | None], gateway.ExtraFields]
"""Makes the extra fields of an object of a provider and, if it was asked for one, of a model."""


def begin(request_type: RequestType) -> ExtraFields:
    """Begin to measure what the extra fields are to say of this call."""
    begun = time.perf_counter()

    def extra_fields(provider: str, model: str | None = None) -> gateway.ExtraFields:
        return gateway.ExtraFields(
            request_type=request_type,
            provider=provider,
            model_requested=UNSET if model is None else model,
            latency=round(1000 * (time.perf_counter() - begun)),
            chunk_index=0,
        )

    return extra_fields
