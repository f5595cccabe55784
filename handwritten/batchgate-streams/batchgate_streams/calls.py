"""What sync and async calls share: the arguments of a call, and the meaning of its answer or failure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeAlias, TypeVar

import httpx2

# Only the generated operations know paths and parameters.
from batchgate_client.api.batch_progress.get_batch_progress import _get_kwargs as progress_call
from batchgate_client.api.batch_progress.get_batch_results import _get_kwargs as partial_results_call
from batchgate_client.api.batch_progress.stream_batch_events import _get_kwargs as batch_events_call
from batchgate_client.api.batch_progress.stream_events import _get_kwargs as all_events_call
from batchgate_client.api.unified_batches.retrieve_unified_batch import _get_kwargs as batch_call
from batchgate_client.api.unified_batches.retrieve_unified_batch_results import _get_kwargs as ended_results_call
from batchgate_client.api.unified_files.download_unified_file import _get_kwargs as file_call
from batchgate_streams.errors import ConnectionFailed, GatewayRefused, Refusal, UnusableAnswer

__all__ = [
    "Call",
    "Provider",
    "all_events_call",
    "as_model",
    "batch_call",
    "batch_events_call",
    "batch_id",
    "failures",
    "file_call",
    "progress_call",
    "refused",
    "results_call",
    "unusable",
]

Call: TypeAlias = dict[str, Any]
"""The arguments of `httpx2.Client.build_request`."""
Provider: TypeAlias = str
"""The name of an account of the gateway, or of a provider."""
T = TypeVar("T")

_ERROR_BYTES: Final = 200
"""The most bytes shown of an answer that is not Batchgate's."""


def results_call(batch_id: str, *, provider: Provider | None, partial: bool, merged: bool) -> Call:
    """Return the call for the results of an ended batch, for those so far, or for those merged with its retries'."""
    if merged:
        return partial_results_call(batch_id, merged=True)
    if partial:
        return partial_results_call(batch_id)
    if provider is None:
        raise ValueError("provider: required, one of the batch's providers, unless partial or merged is set")
    return ended_results_call(batch_id, provider=provider) | {"headers": {"Accept": "application/x-jsonl"}}


@contextmanager
def failures(kind: type[ConnectionFailed], call: Call) -> Iterator[None]:
    """Translate errors of httpx2 into errors of this package."""
    try:
        yield
    except (httpx2.TransportError, httpx2.DecodingError) as error:
        what = "no answer came" if kind is ConnectionFailed else "the answer broke off"
        raise kind(f"{call['method'].upper()} {call['url']}: {what}: {error or type(error).__name__}") from error


def refused(response: httpx2.Response) -> GatewayRefused:
    """Return the error for an unsuccessful answer of any surface; its body must have been read."""
    envelope, error = _object(response), {}
    if isinstance(envelope.get("error"), dict):
        error = envelope["error"]
    message = error.get("message")
    if not isinstance(message, str):
        message = f"not an answer of Batchgate: {response.text[:_ERROR_BYTES]!r}"
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


def as_model(response: httpx2.Response, from_dict: Callable[[Mapping[str, Any]], T]) -> T:
    """Decode a model of the generated client; raises `UnusableAnswer` if the answer does not fit."""
    with unusable(str(response.request.url)):
        return from_dict(response.json())


def batch_id(created: Mapping[str, Any]) -> str:
    """Return the id of a batch that any API has created."""
    return str(created["id"])


@contextmanager
def unusable(what: str) -> Iterator[None]:
    """Translate all that the generated readers raise into `UnusableAnswer`."""
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise UnusableAnswer(f"{what}: not a Batchgate of this version: {reason}") from error


def _object(response: httpx2.Response) -> dict[str, Any]:
    try:
        found = response.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _seconds(header: str | None) -> float | None:
    """Read Retry-After in seconds, the form that Batchgate sends."""
    return float(header) if header is not None and header.isascii() and header.isdigit() else None
