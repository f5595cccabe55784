"""Reads what a batch API in the shape of OpenAI's says about files and jobs.

Only ids and states must be there. Counters, errors and times are read as far as they have the expected type, since they
are null, absent or wrong at some providers.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct

from batchgate.engine.model.provider_call import Account
from batchgate.engine.ports.provider_batches import JobFault, JobOutcome, UpstreamJob
from batchgate.providers.batches.openai_dialects import OpenAIDialect
from batchgate.providers.batches.secret_redaction import without_secrets
from batchgate.providers.responses.provider_errors import redact_and_shorten
from batchgate.providers.responses.retry_waits import requested_wait

TOKEN_LIMIT_CODE: Final = "token_limit_exceeded"  # noqa: S105 - a code of an error
_OUTCOMES: Final[Mapping[str, JobOutcome]] = {
    "completed": "completed",
    "failed": "failed",
    "expired": "expired",
    "cancelled": "canceled",
    "canceled": "canceled",
}
"""The final states; any other word means that the job still runs."""
_MAX_FAULTS: Final = 1000
_MAX_STATUS: Final = 64
_TOKEN_LIMIT: Final = re.compile(r"\blimit(?: of|:)\s*~?(\d[\d,_]*(?:\.\d+)?)\s*([kmb]\b)?", re.IGNORECASE)
_MULTIPLES: Final = {"": 1, "k": 1_000, "m": 1_000_000, "b": 1_000_000_000}


class FileObject(Struct, frozen=True):
    """A file of the provider."""

    id: str
    status: str | None = None


class BatchObject(Struct, frozen=True):
    """A job of the provider."""

    id: str
    status: str
    output_file_id: str | None = None
    error_file_id: str | None = None
    request_counts: object = None
    errors: object = None
    metadata: object = None
    created_at: object = None

    @property
    def token(self) -> object:
        """The token of our job in its metadata, if there is one."""
        return self.metadata.get("batchgate_job") if isinstance(self.metadata, dict) else None

    @property
    def created(self) -> float | None:
        """The time of its creation in Unix seconds, if it is a number."""
        return float(self.created_at) if isinstance(self.created_at, int | float) else None


class Paging(Struct, frozen=True):
    """Where the next page begins."""

    next_cursor: str | None = None


class BatchPage(Struct, frozen=True):
    """One page of the list of jobs."""

    data: list[BatchObject]
    has_more: bool | None = None
    paging: Paging | None = None


def upstream_job(
    account: Account, dialect: OpenAIDialect, batch: BatchObject, headers: Mapping[str, str] | None = None
) -> UpstreamJob:
    """Return what a batch object says; ``headers`` are those of a response for it alone."""
    outcome = _OUTCOMES.get(batch.status.lower(), "running")
    faults = tuple(_faults(account, dialect, batch.errors))
    exceeded = [fault for fault in faults if fault.code == TOKEN_LIMIT_CODE]
    return UpstreamJob(
        id=batch.id,
        status=batch.status[:_MAX_STATUS],
        outcome=outcome,
        results=tuple(handle for handle in (batch.output_file_id, batch.error_file_id) if handle),
        awaits_results=_awaits_results(batch, outcome),
        faults=faults,
        limit_exceeded=bool(exceeded),
        token_limit=next((limit for fault in exceeded if (limit := token_limit(fault.message)) is not None), None),
        retry_after=requested_wait(headers or {}, None, "", time.time()),
    )


def token_limit(message: str) -> int | None:
    """Return the limit of enqueued tokens that a message names: "Limit: 90,000 enqueued tokens", "limit of 30K"."""
    found = _TOKEN_LIMIT.search(message)
    if found is None:
        return None
    return int(float(found[1].replace(",", "").replace("_", "")) * _MULTIPLES[(found[2] or "").lower()])


def _awaits_results(batch: BatchObject, outcome: JobOutcome) -> bool:
    """Return whether a job has ended, but lacks the files that its state or its counters promise.

    A completed job has a file whatever its counters say. Some providers write failed requests into the output file, so
    that one is enough for them.
    """
    if outcome in {"running", "failed"} or batch.output_file_id:
        return False
    counts = batch.request_counts if isinstance(batch.request_counts, dict) else {}
    completed, failed = (_count(counts.get(name)) for name in ("completed", "failed"))
    if batch.error_file_id:
        return completed > 0
    return outcome == "completed" or completed > 0 or failed > 0


def _count(value: object) -> int:
    return value if type(value) is int else 0


def _faults(account: Account, dialect: OpenAIDialect, errors: object) -> Iterator[JobFault]:
    """Read ``errors``: a list in ``data``, or (at Groq) the list itself; or a text."""
    listed = errors.get("data") if isinstance(errors, dict) else errors
    for error in (listed if isinstance(listed, list) else [listed])[:_MAX_FAULTS]:
        if isinstance(error, str) and error:
            yield JobFault(code="", message=_shown(account, error))
        elif isinstance(error, dict):
            yield _fault(account, dialect, error)


def _fault(account: Account, dialect: OpenAIDialect, error: Mapping[str, object]) -> JobFault:
    code, message, param, line = (error.get(name) for name in ("code", "message", "param", "line"))
    index = line - dialect.first_line if type(line) is int else None
    text = message if isinstance(message, str) else ""
    if isinstance(param, str) and param and param not in text:
        text = f"{param}: {text}"
    return JobFault(
        code=code[:_MAX_STATUS] if isinstance(code, str) else "" if code is None else str(code)[:_MAX_STATUS],
        message=_shown(account, text),
        line=index if index is not None and index >= 0 else None,
    )


def _shown(account: Account, message: str) -> str:
    return redact_and_shorten(without_secrets(account, message))
