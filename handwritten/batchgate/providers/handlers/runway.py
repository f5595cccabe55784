"""The handler for Runway: requests to its own urls create tasks, which run until a poll says that they have ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from batchgate.engine.model.provider_call import Account, RequestRow, UpstreamRequest, UpstreamResponse
from batchgate.engine.ports.provider_tasks import TaskState
from batchgate.providers.dialects.translation import to_single_line
from batchgate.providers.handlers.own_requests import bearer, own_request, refuse_kind
from batchgate.providers.handlers.task_answers import Task, call_about, output_urls, read_state, succeeded_task

VERSION: Final = "2024-11-06"
"""The version of the API, which every call must name."""
_RUNNING: Final = frozenset({None, "PENDING", "THROTTLED", "RUNNING"})
"""The states of a task that has not ended; THROTTLED waits for the account's other tasks."""


class RunwayHandler:
    """Calls the paths of `KINDS` below the ``base_url`` of an account."""

    def encode(self, account: Account, row: RequestRow) -> UpstreamRequest:
        """Return the call that creates the task; raises `RequestError` for requests of another kind."""
        if row.kind != "runway":
            raise refuse_kind("runway", row.kind)
        return own_request(account, row, _headers(account))

    def decode(self, row: RequestRow, response: UpstreamResponse) -> bytes:
        """Return the task that succeeded, unchanged."""
        del row
        succeeded_task(response, "SUCCEEDED")
        return to_single_line(response.body)


class RunwayTasks:
    """`ProviderTasks` of Runway."""

    def read(self, response: UpstreamResponse) -> TaskState | None:
        """Read the answer to a create or a poll."""
        return read_state(response, _is_running)

    def poll(self, account: Account, task_id: str) -> UpstreamRequest:
        """Return the call that asks for a task."""
        return call_about(account, "GET", f"/v1/tasks/{task_id}", _headers(account))

    def output_urls(self, answer: bytes) -> Sequence[str]:
        """Return the URLs of what a task has made."""
        return output_urls(answer)

    def cancel(self, account: Account, task_id: str) -> UpstreamRequest:
        """Return the call that cancels a running task; one that has ended would be deleted."""
        return call_about(account, "DELETE", f"/v1/tasks/{task_id}", _headers(account))


def _is_running(task: Task) -> bool:
    return task.status in _RUNNING


def _headers(account: Account) -> dict[str, str]:
    return {"x-runway-version": VERSION, **bearer(account)}
