"""The ``extra_fields`` of every object of the unified surface: provider, request type and latency of the call."""

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
"""Builds the extra fields for a provider and, optionally, a model."""


def start_extra_fields(request_type: RequestType) -> ExtraFields:
    """Start to measure a call, and return the function that builds its extra fields."""
    started = time.perf_counter()

    def extra_fields(provider: str, model: str | None = None) -> gateway.ExtraFields:
        return gateway.ExtraFields(
            request_type=request_type,
            provider=provider,
            model_requested=UNSET if model is None else model,
            latency=round(1000 * (time.perf_counter() - started)),
            chunk_index=0,
        )

    return extra_fields
