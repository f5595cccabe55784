"""Maps the status of a batch to the words of each surface, and its times.

============  =================================  ============  ==========================================
engine        OpenAI                             Anthropic     unified
============  =================================  ============  ==========================================
validating    validating                         in_progress   validating
failed        failed                             ended         failed
in_progress   in_progress, then finalizing       in_progress   in_progress, then finalizing
canceling     cancelling                         canceling     cancelling
ended         cancelled, expired, or completed   ended         ended, for a batch of Anthropic's dialect;
                                                               canceled, expired, or completed
============  =================================  ============  ==========================================
"""

from __future__ import annotations

from typing import Literal, TypeAlias, assert_never

from msgspec import Struct

from batchgate.engine.model.batch import Batch
from batchgate.engine.model.clock import MICROSECONDS
from batchgate_api import anthropic, openai

UnifiedStatus: TypeAlias = Literal[
    "validating", "failed", "in_progress", "finalizing", "cancelling", "canceled", "expired", "completed", "ended"
]


class Times(Struct, frozen=True, kw_only=True):
    """When a batch entered each state, in seconds since the epoch; None for states that it has not entered."""

    created_at: int
    expires_at: int
    in_progress_at: int | None = None
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None


def anthropic_status(batch: Batch) -> anthropic.ProcessingStatus:
    """Return the status for the Messages API, which has no validation and no failed batches."""
    match batch.status:
        case "validating" | "in_progress":
            return "in_progress"
        case "canceling":
            return "canceling"
        case "failed" | "ended":
            return "ended"
        case other:
            assert_never(other)


def openai_status(batch: Batch) -> openai.OpenaiBatchStatus:
    """Return the status for the OpenAI API, whose last status says why the batch ended."""
    match batch.status:
        case "validating" | "failed":
            return batch.status
        case "in_progress":
            return _running(batch)
        case "canceling":
            return "cancelling"
        case "ended":
            end = batch.end
            return "cancelled" if end == "canceled" else end
        case other:
            assert_never(other)


def unified_status(batch: Batch) -> UnifiedStatus:
    """Return the status for the unified surface: OpenAI's, with another spelling of the end."""
    match batch.status:
        case "validating" | "failed":
            return batch.status
        case "in_progress":
            return _running(batch)
        case "canceling":
            return "cancelling"
        case "ended":
            return "ended" if batch.dialect == "anthropic" else batch.end
        case other:
            assert_never(other)


def times(batch: Batch) -> Times:
    """Return when a batch entered each state."""
    ended_at = _seconds(batch.ended_at)
    end = batch.end if batch.status == "ended" else None
    return Times(
        created_at=batch.created_at // MICROSECONDS,
        expires_at=batch.expires_at // MICROSECONDS,
        in_progress_at=_seconds(batch.in_progress_at),
        finalizing_at=None if end is None else ended_at,
        completed_at=ended_at if end == "completed" else None,
        failed_at=ended_at if batch.status == "failed" else None,
        expired_at=ended_at if end == "expired" else None,
        cancelling_at=_seconds(batch.cancel_initiated_at),
        cancelled_at=ended_at if end == "canceled" else None,
    )


def _running(batch: Batch) -> Literal["in_progress", "finalizing"]:
    counts = batch.counts
    return "finalizing" if counts.total and not counts.processing else "in_progress"


def _seconds(microseconds: int | None) -> int | None:
    return None if microseconds is None else microseconds // MICROSECONDS
