"""Errors of calls for a job that need more than their classification."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from batchgate.engine.model.errors import UpstreamError
from batchgate.engine.model.native_job import NativeJob
from batchgate.providers.batches.openai_objects import TOKEN_LIMIT_CODE

T = TypeVar("T")

_FILE_NOT_VISIBLE: Final = re.compile(
    r"\bcannot find file\b|\bfile\b.*\bnot (?:yet )?(?:processed|ready)\b", re.IGNORECASE
)
"""OpenAI says this for some seconds after an upload, and Azure of a file that is pending."""
_FILE_WAIT: Final = 5.0
_QUEUE_WAIT: Final = 60.0


async def if_found(call: Awaitable[T]) -> T | None:
    """Return what a call returns; None if its answer is 404."""
    try:
        return await call
    except UpstreamError as error:
        if error.status == 404:
            return None
        raise


@contextmanager
def retrying_passing_refusals() -> Iterator[None]:
    """Raise the error of a create call that passes as one that is safe to retry, and any other as it is."""
    try:
        yield
    except UpstreamError as error:
        if (passing := _passing_refusal(error)) is not None:
            raise passing from error
        raise


def _passing_refusal(error: UpstreamError) -> UpstreamError | None:
    if error.provider_code == TOKEN_LIMIT_CODE and error.status >= 400:
        return _passing(error, _QUEUE_WAIT)
    if error.status in {400, 404, 409} and _FILE_NOT_VISIBLE.search(error.message):
        return _passing(error, _FILE_WAIT)
    return None


def _passing(error: UpstreamError, wait: float) -> UpstreamError:
    return UpstreamError(
        error.kind,
        error.message,
        status=error.status,
        retry_safe=True,
        retry_after=wait if error.retry_after is None else error.retry_after,
        request_id=error.request_id,
        provider_type=error.provider_type,
        provider_param=error.provider_param,
        provider_code=error.provider_code,
    )


def upstream_id(job: NativeJob) -> str:
    """Return the provider's id of a job; only a job that was created has one."""
    if job.upstream_id is None:
        raise RuntimeError(f"job {job.token} has no id upstream")
    return job.upstream_id


def uploaded_file(job: NativeJob) -> str:
    """Return the provider's id of a job's input; only a job whose input was uploaded has one."""
    if job.upstream_file is None:
        raise RuntimeError(f"job {job.token} has no uploaded file")
    return job.upstream_file
