"""The parts of a call that sync and async have in common: what is sent, and what an answer or its lack means."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeAlias, TypeVar

import httpx

# Paths and parameters are known to the generated operations alone.
from batchgate_client.api.batch_progress.get_batch_progress import _get_kwargs as progress_call
from batchgate_client.api.batch_progress.get_batch_results import _get_kwargs as partial_results_call
from batchgate_client.api.unified_batches.retrieve_unified_batch import _get_kwargs as batch_call
from batchgate_client.api.unified_batches.retrieve_unified_batch_results import _get_kwargs as ended_results_call
from batchgate_client.api.unified_files.download_unified_file import _get_kwargs as file_call
from batchgate_client.models import UploadUnifiedFileProvider
from batchgate_streams.errors import ConnectionFailed, GatewayRefused, Refusal, UnusableAnswer

__all__ = [
    "Call",
    "Provider",
    "as_model",
    "batch_call",
    "failures",
    "file_call",
    "progress_call",
    "refused",
    "results_call",
]

Call: TypeAlias = dict[str, Any]
"""The arguments of `httpx.Client.build_request`."""
Provider: TypeAlias = UploadUnifiedFileProvider
"""The 23 names of the unified surface."""
T = TypeVar("T")

_ERROR_BYTES: Final = 200
"""Of an answer that is none of the gateway's, so much is shown."""


def results_call(batch_id: str, *, provider: Provider | None, partial: bool) -> Call:
    """Ask for the results of a batch that has ended, or with ``partial`` for those that are there."""
    if partial:
        return partial_results_call(batch_id)
    if provider is None:
        raise ValueError("provider: name one of the batch's; only partial results need none")
    return ended_results_call(batch_id, provider=provider) | {"headers": {"Accept": "application/x-jsonl"}}


@contextmanager
def failures(kind: type[ConnectionFailed], call: Call) -> Iterator[None]:
    """Turn what httpx raises while it talks into an error of this package."""
    try:
        yield
    except (httpx.TransportError, httpx.DecodingError) as error:
        what = "no answer came" if kind is ConnectionFailed else "the answer broke off"
        raise kind(f"{call['method'].upper()} {call['url']}: {what}: {error or type(error).__name__}") from error


def refused(response: httpx.Response) -> GatewayRefused:
    """Make the error for an answer that is read and no success, whichever surface it comes from."""
    envelope, error = _object(response), {}
    if isinstance(envelope.get("error"), dict):
        error = envelope["error"]
    message = error.get("message")
    if not isinstance(message, str):
        message = f"no answer of a Batchgate: {response.text[:_ERROR_BYTES]!r}"
    return GatewayRefused(
        Refusal(
            status=response.status_code,
            message=message,
            type=error.get("type"),
            code=error.get("code"),
            param=error.get("param"),
            request_id=response.headers.get("request-id"),
            retry_after=_seconds(response.headers.get("retry-after")),
        )
    )


def as_model(response: httpx.Response, from_dict: Callable[[Mapping[str, Any]], T]) -> T:
    """Read a model of the generated client; raises `UnusableAnswer` if the answer is none."""
    try:
        return from_dict(response.json())
    except (ValueError, TypeError, KeyError, AttributeError) as error:  # all that the generated readers raise
        what = f"{type(error).__name__}: {error}"
        raise UnusableAnswer(f"{response.request.url}: what answers is no Batchgate of this version: {what}") from error


def _object(response: httpx.Response) -> dict[str, Any]:
    try:
        found = response.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _seconds(header: str | None) -> float | None:
    """Read Retry-After where it has seconds, as Batchgate sends it."""
    return float(header) if header is not None and header.isascii() and header.isdigit() else None
