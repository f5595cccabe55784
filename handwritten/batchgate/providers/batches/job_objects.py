"""What the lanes make of the fields of a job: times, counters and faults, as far as they have the expected type."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from batchgate.engine.model.native_job import NativeJob
from batchgate.engine.model.provider_call import Account
from batchgate.engine.ports.provider_batches import JobFault, UpstreamJob
from batchgate.providers.batches.secret_redaction import without_secrets
from batchgate.providers.responses.provider_errors import redact_and_shorten

MAX_STATUS: Final = 64
"""The length to which a provider's word for a state is cut."""
_CLOCK_DIFFERENCE: Final = 60.0
"""Seconds by which the provider's clock may be behind ours."""


def creation_of(job: NativeJob) -> float:
    """Return the earliest time of the provider's clock, in Unix seconds, at which a job can have been created."""
    return (job.created_at if job.creating_at is None else job.creating_at) / 1e6 - _CLOCK_DIFFERENCE


def files_of(job: NativeJob, upstream: UpstreamJob | None) -> list[str]:
    """Return the ids of the input and of the results of a job, as far as they are known."""
    files = (job.upstream_file, *(upstream.results if upstream is not None else ()))
    return [file for file in files if file is not None]


def unix_seconds(value: object) -> float | None:
    """Return a time that is a number or an ISO text with a time of day; None for anything else."""
    if isinstance(value, int | float):
        return float(value)
    if not isinstance(value, str) or len(value) <= len("2026-08-28"):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def count_of(value: object) -> int:
    """Return a counter; 0 for what is none."""
    return value if type(value) is int else 0


def fault_of(account: Account, message: object, code: object = None) -> JobFault | None:
    """Return the fault that a provider states for a job, without secrets; None if it states none."""
    if not isinstance(message, str) or not message:
        return None
    shown = redact_and_shorten(without_secrets(account, message))
    return JobFault(code=code[:MAX_STATUS] if isinstance(code, str) else "", message=shown)
