"""Reads what Gemini's batch API says about files and jobs, and the lines of its results (native-lanes 2.3).

A job is a long-running operation. Its results may stand in ``metadata.output`` and in ``response``; both are read.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec
from msgspec import Raw, Struct, UnsetType

from batchgate.engine.model.decoding_errors import DECODING_ERRORS
from batchgate.engine.model.provider_call import Account, UpstreamResponse
from batchgate.engine.ports.provider_batches import JobFault, JobOutcome, NativeResult, UpstreamJob
from batchgate.providers.batches.secret_redaction import without_secrets
from batchgate.providers.responses.provider_errors import redact_and_shorten
from batchgate.providers.responses.retry_waits import requested_wait

RESULT_FILES: Final = "files/"
"""The beginning of the name of a result file; any other handle is a job whose results stand in it."""

_STATE: Final = "_STATE_"
_OUTCOMES: Final[Mapping[str, JobOutcome]] = {
    "SUCCEEDED": "completed",
    "FAILED": "failed",
    "CANCELLED": "canceled",
    "EXPIRED": "expired",
}
"""The final states, after ``BATCH_STATE_`` or ``JOB_STATE_``."""
_MAX_STATUS: Final = 64
_CANCELLED: Final = 1
_RESOURCE_EXHAUSTED: Final = 8

RPC_STATUSES: Final[Mapping[int, int]] = {
    1: 499,
    2: 500,
    3: 400,
    4: 504,
    5: 404,
    6: 409,
    7: 403,
    8: 429,
    9: 400,
    10: 409,
    11: 400,
    12: 501,
    13: 500,
    14: 503,
    15: 500,
    16: 401,
}
"""The HTTP status of each code of google.rpc."""


class GeminiFile(Struct, frozen=True):
    """An uploaded file."""

    name: str
    state: str | None = None


class UploadedFile(Struct, frozen=True):
    """The answer to the last piece of an upload."""

    file: GeminiFile


class Operation(Struct, frozen=True):
    """A job of the provider."""

    name: str
    metadata: object = None
    done: object = None
    response: object = None
    error: object = None

    @property
    def display_name(self) -> object:
        """The name that the create call gave, if there is one."""
        return _fields(self.metadata).get("displayName")

    @property
    def created(self) -> float:
        """The time of its creation in Unix seconds; 0 if it cannot be read."""
        text = _fields(self.metadata).get("createTime")
        try:
            moment = datetime.fromisoformat(text) if isinstance(text, str) else None
        except ValueError:
            return 0.0
        if moment is None:
            return 0.0
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()

    @property
    def state(self) -> str:
        """The word for its state, without the name of its enum."""
        word = _fields(self.metadata).get("state")
        return word.rpartition(_STATE)[2] if isinstance(word, str) else ""

    def places(self) -> Iterator[Mapping[str, object]]:
        """Yield the objects in which results may stand."""
        yield _fields(_fields(self.metadata).get("output"))
        yield _fields(self.response)
        yield _fields(_fields(self.response).get("output"))


class OperationPage(Struct, frozen=True):
    """One page of the list of jobs."""

    operations: list[Operation] = []
    nextPageToken: str | None = None  # noqa: N815 - Gemini's name


def upstream_job(account: Account, operation: Operation, headers: Mapping[str, str] | None = None) -> UpstreamJob:
    """Return what an operation says; ``headers`` are those of a response for it alone."""
    outcome = _outcome(operation)
    handles = _handles(operation) if outcome != "running" else ()
    error = _fields(operation.error)
    return UpstreamJob(
        id=operation.name,
        status=(operation.state or ("DONE" if operation.done is True else "PENDING"))[:_MAX_STATUS],
        outcome=outcome,
        results=handles,
        awaits_results=outcome == "completed" and not handles,
        faults=tuple(_faults(account, error)) if outcome == "failed" else (),
        limit_exceeded=outcome == "failed" and error.get("code") == _RESOURCE_EXHAUSTED,
        retry_after=requested_wait(headers or {}, None, "", time.time()),
    )


def _outcome(operation: Operation) -> JobOutcome:
    """Return how a job ended: by its state or, if that is not known, by what a finished operation has."""
    if operation.state in _OUTCOMES:
        return _OUTCOMES[operation.state]
    if operation.done is not True:
        return "running"
    return "failed" if operation.error else "completed"


def _handles(operation: Operation) -> tuple[str, ...]:
    """Return the result files, each once, and the job itself if it has results inline."""
    found: dict[str, None] = {}
    for place in operation.places():
        for name in ("responsesFile", "fileName"):
            if isinstance(file := place.get(name), str) and file.startswith(RESULT_FILES):
                found[file] = None
        if any(isinstance(place.get(name), dict) for name in _INLINE):
            found[operation.name] = None
    return (*found,)


def _faults(account: Account, error: Mapping[str, object]) -> Iterator[JobFault]:
    message = error.get("message")
    if isinstance(message, str) and message:
        yield JobFault(code=str(error.get("code", ""))[:_MAX_STATUS], message=_shown(account, message))


def _shown(account: Account, message: str) -> str:
    return redact_and_shorten(without_secrets(account, message))


def _fields(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


# ---------------------------------------------------------------- results

_INLINE: Final = ("inlinedResponses", "inlinedEmbedContentResponses")


class _Line(Struct, frozen=True):
    key: str | None = None
    metadata: object = None
    response: Raw | UnsetType = msgspec.UNSET
    error: object = None
    status: object = None


_LINE: Final = msgspec.json.Decoder(_Line)


def read_result(line: bytes) -> NativeResult | None:
    """Return what a line says about a request; None for a line that is no result or does not name its request."""
    try:
        read = _LINE.decode(line)
    except DECODING_ERRORS:
        return None
    row_id = read.key or _fields(read.metadata).get("key")
    if not isinstance(row_id, str):
        return None
    if isinstance(read.response, Raw) and bytes(read.response) != b"null":
        response = UpstreamResponse(status=200, headers={}, body=bytes(read.response))
        return NativeResult(row_id=row_id, response=response)
    return _failed(row_id, _fields(read.error) or _fields(read.status))


def inline_rows(operation: Operation) -> Iterator[bytes]:
    """Yield the results that stand in a job, as the lines of a result file."""
    for place in operation.places():
        for name in _INLINE:
            listed = _fields(place.get(name)).get(name)
            for item in listed if isinstance(listed, list) else ():
                yield msgspec.json.encode(item)


def _failed(row_id: str, error: Mapping[str, object]) -> NativeResult:
    """Return the result of a request without an answer, with the error as the live API sends it."""
    code = error.get("code")
    if code == _CANCELLED:
        return NativeResult(row_id=row_id, response=None, unfinished="canceled")
    status = RPC_STATUSES.get(code, code if 400 <= code <= 599 else 500) if type(code) is int else 500
    fallback = {"message": "The provider's result has neither a response nor an error."}
    body = msgspec.json.encode({"error": {**(error or fallback), "code": status}})
    return NativeResult(row_id=row_id, response=UpstreamResponse(status=status, headers={}, body=body))
