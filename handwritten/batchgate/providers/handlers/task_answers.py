"""Reads the tasks that Replicate and Runway return: their id, whether they run, and why they failed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec
from msgspec import Raw, Struct

from batchgate.engine.model.decoding_errors import DECODING_ERRORS
from batchgate.engine.model.errors import NoUpstreamAnswer
from batchgate.engine.model.provider_call import Account, HttpMethod, UpstreamRequest, UpstreamResponse
from batchgate.engine.ports.provider_tasks import TaskState
from batchgate.providers.dialects.completion import unusable_answer
from batchgate.providers.responses.provider_errors import redact_and_shorten, upstream_error

POLL_TIMEOUT: Final = 60.0
"""Seconds for a call about a task, which only reads."""

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
"""An id that may stand in a url."""


class Task(Struct):
    """The fields of both providers that decide."""

    id: str
    status: str | None = None
    """Runway's answer to a create has none: the task waits."""
    error: Raw = Raw(b"null")
    """Replicate's reason: a text, or anything else."""
    failure: str | None = None
    failureCode: str | None = None  # noqa: N815 - Runway's name


class _Made(Struct):
    output: object = None


_TASK: Final = msgspec.json.Decoder(Task)
_OUTPUT: Final = msgspec.json.Decoder(_Made)
_URL: Final = re.compile(r"https://[!-~]{1,4000}")


def read_state(response: UpstreamResponse, is_running: Callable[[Task], bool]) -> TaskState | None:
    """Return the state of the task in a response; None if there is none."""
    if not 200 <= response.status < 300:
        return None
    try:
        task = _TASK.decode(response.body)
    except DECODING_ERRORS:
        return None
    return TaskState(task_id=task.id, is_running=is_running(task)) if _ID.fullmatch(task.id) else None


def succeeded_task(response: UpstreamResponse, succeeded: str) -> Task:
    """Return a task that succeeded; raises `UpstreamError` for one that failed, and for an error.

    Another attempt would be paid for again, and most likely fail as well: none of these errors is safe to retry.
    """
    if not 200 <= response.status < 300:
        raise upstream_error(response)
    try:
        task = _TASK.decode(response.body)
    except DECODING_ERRORS as error:
        raise unusable_answer("it is no task") from error
    if task.status != succeeded:
        raise _failed(task)
    return task


def output_urls(answer: bytes) -> Sequence[str]:
    """Return the https URLs in the ``output`` of a task, which both providers have, at any depth, each once."""
    try:
        output = _OUTPUT.decode(answer).output
    except DECODING_ERRORS:
        return ()
    return tuple(dict.fromkeys(_urls(output)))


def _urls(value: object) -> Iterator[str]:
    match value:
        case str() if _URL.fullmatch(value):
            yield value
        case list():
            for item in value:
                yield from _urls(item)
        case dict():
            yield from _urls(list(value.values()))


def call_about(account: Account, method: HttpMethod, path: str, headers: dict[str, str]) -> UpstreamRequest:
    """Return a call about a task."""
    return UpstreamRequest(
        url=account.base_url + path,
        headers=headers,
        body=b"",
        timeout=min(POLL_TIMEOUT, account.timeout),
        method=method,
    )


def _failed(task: Task) -> NoUpstreamAnswer:
    reason = task.failure or _text(task.error) or "the provider gives no reason"
    code = f" ({task.failureCode})" if task.failureCode else ""
    message = f"the task {task.id} ended as {task.status}{code}: {reason}"
    return NoUpstreamAnswer(
        "api_error", redact_and_shorten(message), status=200, retry_safe=False, provider_code=task.failureCode
    )


def _text(error: Raw) -> str | None:
    found: object = msgspec.json.decode(error)
    return found if isinstance(found, str) or found is None else bytes(error).decode(errors="replace")
