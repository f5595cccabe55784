"""Which batch's results another batch can reuse, and why not."""

from __future__ import annotations

from typing import Final

from batchgate.engine.model.batch import Batch, BatchOptions, Dialect
from batchgate.engine.model.errors import RefusedError
from batchgate.engine.model.provider_call import OWN_KINDS, RowKind

KINDS_WITH_FILES: Final[frozenset[RowKind]] = OWN_KINDS | {"speech"}
"""Kinds of requests that make files, which are deleted with the batch that made them."""


def check_reusable(found: Batch, dialect: Dialect, options: BatchOptions) -> None:
    """Raise `RefusedError` if a batch of this dialect with these options cannot reuse the results of ``found``."""
    if (found.dialect, found.options.kind, found.options.endpoint) != (dialect, options.kind, options.endpoint):
        own, other = options.endpoint or "/v1/messages", found.options.endpoint or "/v1/messages"
        message = f"reuse: the requests of batch {found.id!r} are for {other}, those of this batch for {own}"
        raise RefusedError("invalid_request_error", message, param="reuse")
    if options.kind in KINDS_WITH_FILES:
        message = f"reuse: requests for {options.endpoint} make files, which belong to the batch that made them"
        raise RefusedError("invalid_request_error", message, param="reuse")
    if found.ended_at is None:
        message = f"reuse: batch {found.id!r} is {found.status}; its results can be reused once it has ended"
        raise RefusedError("invalid_request_error", message, param="reuse")
    if found.archived_at is not None:
        message = f"reuse: the results of batch {found.id!r} are gone: its files were deleted or have expired"
        raise RefusedError("not_found_error", message, param="reuse")
    if found.results_blob is None:
        message = f"reuse: batch {found.id!r} has no results, as none of its requests was sent"
        raise RefusedError("invalid_request_error", message, param="reuse")
