"""Reads Message Batches and lines of their results, as responses of the Messages API."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from batchgate.engine.model.decoding_errors import DECODING_ERRORS
from batchgate.engine.model.errors import STATUSES
from batchgate.engine.model.provider_call import UpstreamResponse
from batchgate.engine.ports.provider_batches import JobOutcome, NativeResult, UpstreamJob
from batchgate.providers.responses.embedded_errors import DEFAULT_STATUS, status_of_fields
from batchgate.providers.responses.retry_waits import requested_wait

_ENDED: Final = "ended"
_UNFINISHED: Final[Mapping[str, Literal["expired", "canceled"]]] = {"canceled": "canceled", "expired": "expired"}


class MessageBatch(Struct, frozen=True):
    """A job of the provider."""

    id: str
    processing_status: str
    request_counts: object = None
    created_at: object = None
    cancel_initiated_at: str | None = None
    archived_at: str | None = None
    results_url: str | None = None

    @property
    def requests(self) -> int | None:
        """The number of its requests, if the counters are whole."""
        if not isinstance(self.request_counts, dict):
            return None
        counts = list(self.request_counts.values())
        return sum(counts) if all(type(count) is int for count in counts) else None

    @property
    def expired(self) -> bool:
        """Whether some requests have expired."""
        return isinstance(self.request_counts, dict) and bool(self.request_counts.get("expired"))

    @property
    def created(self) -> float | None:
        """The time of its creation in Unix seconds, if it can be read."""
        if not isinstance(self.created_at, str):
            return None
        try:
            moment = datetime.fromisoformat(self.created_at)
        except ValueError:
            return None
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


class MessageBatchPage(Struct, frozen=True):
    """One page of the list of jobs."""

    data: list[MessageBatch]
    has_more: bool = False
    last_id: str | None = None


def upstream_job(batch: MessageBatch, headers: Mapping[str, str] | None = None) -> UpstreamJob:
    """Return what a Message Batch says; ``headers`` are those of a response for it alone.

    The handle of its results is its id: the URL that it names may be at another host, which must not get the key.
    """
    has_ended = batch.processing_status == _ENDED
    return UpstreamJob(
        id=batch.id,
        status=batch.processing_status[:64],
        outcome=_outcome(batch) if has_ended else "running",
        results=(batch.id,) if has_ended and batch.results_url else (),
        awaits_results=has_ended and not batch.results_url and batch.archived_at is None,
        retry_after=requested_wait(headers or {}, None, "", time.time()),
    )


def _outcome(batch: MessageBatch) -> JobOutcome:
    """Return how an ended job ended: that of requests which have no result, as each result says its own."""
    if batch.cancel_initiated_at is not None:
        return "canceled"
    return "expired" if batch.expired else "completed"


# ---------------------------------------------------------------- results


class _Result(Struct, frozen=True):
    type: str
    message: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


class _Line(Struct, frozen=True):
    custom_id: str
    result: _Result


_LINE: Final = msgspec.json.Decoder(_Line)


def read_result(line: bytes) -> NativeResult | None:
    """Return what a line says about a request; None for a line that is no result or does not name its request."""
    try:
        read = _LINE.decode(line)
        response = _response(read.result)
    except DECODING_ERRORS:
        return None
    unfinished = _UNFINISHED.get(read.result.type)
    if response is None and unfinished is None:
        return None
    return NativeResult(row_id=read.custom_id, response=response, unfinished=unfinished)


def _response(result: _Result) -> UpstreamResponse | None:
    if result.type == "succeeded" and result.message is not UNSET:
        return UpstreamResponse(status=200, headers={}, body=bytes(result.message))
    if result.type == "errored":
        error = b"{}" if result.error is UNSET else bytes(result.error)
        return UpstreamResponse(status=_error_status(error), headers={}, body=error)
    return None


def _error_status(body: bytes) -> int:
    """Return the status that the live API sends with an error of this type."""
    document: object = msgspec.json.decode(body)
    inner = document.get("error") if isinstance(document, dict) else None
    error = inner if isinstance(inner, dict) else document
    if not isinstance(error, dict):
        return DEFAULT_STATUS
    kind = error.get("type")
    return next((status for name, status in STATUSES.items() if name == kind), None) or (
        status_of_fields(error) or DEFAULT_STATUS
    )
