"""Batches as text for people and as JSON for scripts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Final

import click
import msgspec

from batchgate_api.anthropic import MessageBatch, RequestCounts
from batchgate_api.gateway import BatchProgress, BatchRefusal, NativeJob

HEADINGS: Final = ("ID", "STATUS", "CREATED", "REQUESTS")
ID_WIDTH: Final = 34
"""The width of the gateway's ids, so that the columns of all pages align."""
STATUS_WIDTH: Final = len("in_progress")
TIME_WIDTH: Final = len("2026-01-01 00:00:00Z")
VALIDATION_FAILED = "validation failed, nothing was sent; GET /openai/v1/batches/ID lists each wrong line"


def print_json(model: msgspec.Struct) -> None:
    """Print a model as one line of JSON; characters that do not print are escaped as JSON has it."""
    text = msgspec.json.encode(model).decode()
    click.echo("".join(character if character.isprintable() else _json_escape(character) for character in text))


def _json_escape(character: str) -> str:
    return json.dumps(character)[1:-1]


def heading() -> str:
    """Return the header line of the table of batches."""
    return _row(HEADINGS)


def table_row(batch: MessageBatch, *, paused: bool) -> str:
    """Return the line of a batch in the table; ``show`` prints why it is paused."""
    counts = counted(batch.request_counts) + (" (paused)" if paused else "")
    return _row((batch.id, batch.processing_status, moment(batch.created_at), counts))


def details(batch: MessageBatch, progress: BatchProgress) -> Iterator[str]:
    """Return the facts about a batch, one a line."""
    facts: tuple[tuple[str, str | None], ...] = (
        ("Batch", batch.id),
        ("Status", progress.status),
        ("Failed", VALIDATION_FAILED if progress.status == "failed" else None),
        ("Requests", f"{progress.total}: {outcome(progress)}"),
        ("Waiting", None if progress.paused is None else progress.paused.reason),
        ("Refused", None if progress.last_refusal is None else _refusal(progress.last_refusal)),
        *(("Job", _job(job)) for job in progress.jobs),
        ("Created", moment(batch.created_at)),
        ("Expires", None if batch.ended_at else moment(batch.expires_at)),
        ("Canceled", batch.cancel_initiated_at and moment(batch.cancel_initiated_at)),
        ("Ended", batch.ended_at and moment(batch.ended_at)),
        ("Archived", batch.archived_at and moment(batch.archived_at)),
        ("Results", batch.results_url),
    )
    return (f"{name:<10}{text}" for name, text in facts if text)


def _refusal(refusal: BatchRefusal) -> str:
    """Return the latest error after which a request waits for another call."""
    status = "" if refusal.status is None else f" ({refusal.status})"
    where = f"model {refusal.model!r} of account {refusal.account!r}"
    return f"{moment(refusal.at)} {where}: {refusal.code}{status}: {refusal.message}"


def _job(job: NativeJob) -> str:
    """Return how far a job of a provider's batch API is."""
    state = f"{job.state}, {job.answered} of {job.requests} requests answered"
    status = "" if job.upstream_status is None else f" ({job.upstream_status})"
    upstream = "" if job.upstream_id is None else f"; {job.upstream_id}{status}"
    reason = "" if job.reason is None else f": {job.reason}"
    return f"model {job.model!r} of account {job.account!r}: {state}{upstream}{reason}"


def outcome(progress: BatchProgress) -> str:
    """Return the counts of a batch by status."""
    ended = (progress.succeeded, progress.errored, progress.canceled, progress.expired)
    return counted(
        RequestCounts(
            processing=progress.total - sum(ended),
            succeeded=progress.succeeded,
            errored=progress.errored,
            canceled=progress.canceled,
            expired=progress.expired,
        )
    )


def counted(counts: RequestCounts) -> str:
    """Return the counts that are not zero, as text."""
    return ", ".join(f"{count} {name}" for name, count in msgspec.structs.asdict(counts).items() if count)


def moment(timestamp: str) -> str:
    """Return an RFC 3339 time in UTC, to the second."""
    return f"{timestamp[:19].replace('T', ' ')}Z"


def _row(cells: Sequence[str]) -> str:
    batch_id, status, created, requests = cells
    return f"{batch_id:<{ID_WIDTH}}  {status:<{STATUS_WIDTH}}  {created:<{TIME_WIDTH}}  {requests}"
