"""The handler for Replicate: requests to its own urls and Chat Completions create predictions, which are polled.

The create does not wait for the prediction (``Prefer: wait``): its id arrives at once, and is stored before anything
else, so that a crash does not lose a prediction that is paid for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from batchgate.engine.model.provider_call import Account, RequestRow, UpstreamRequest, UpstreamResponse
from batchgate.engine.ports.provider_tasks import TaskState
from batchgate.providers.dialects.chat_via_replicate import chat_to_prediction, prediction_to_completion
from batchgate.providers.dialects.translation import to_single_line
from batchgate.providers.handlers.own_requests import bearer, json_request, own_request, refuse_kind
from batchgate.providers.handlers.task_answers import Task, call_about, output_urls, read_state, succeeded_task

_RUNNING: Final = frozenset({"starting", "processing"})
CHAT: Final = "/v1/chat/completions"


class ReplicateHandler:
    """Calls the paths of `KINDS` below the ``base_url`` of an account; ``now`` returns Unix seconds."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now

    def encode(self, account: Account, row: RequestRow) -> UpstreamRequest:
        """Return the call that creates the prediction; raises `RequestError` that names what cannot be said."""
        if row.kind == "replicate":
            return own_request(account, row, bearer(account))
        if row.kind != "chat_completions":
            raise refuse_kind("replicate", row.kind, CHAT)
        path, body = chat_to_prediction(row.params, row.model)
        return json_request(account, path, bearer(account), body)

    def decode(self, row: RequestRow, response: UpstreamResponse) -> bytes:
        """Return the prediction that succeeded, unchanged, or what it says as a Chat Completion."""
        succeeded_task(response, "succeeded")
        if row.kind == "replicate":
            return to_single_line(response.body)
        return prediction_to_completion(response.body, row.model, int(self._now()))


class ReplicateTasks:
    """`ProviderTasks` of Replicate."""

    def read(self, response: UpstreamResponse) -> TaskState | None:
        """Read the answer to a create or a poll."""
        return read_state(response, _is_running)

    def poll(self, account: Account, task_id: str) -> UpstreamRequest:
        """Return the call that asks for a prediction."""
        return call_about(account, "GET", f"/v1/predictions/{task_id}", bearer(account))

    def output_urls(self, answer: bytes) -> Sequence[str]:
        """Return the URLs of what a task has made."""
        return output_urls(answer)

    def cancel(self, account: Account, task_id: str) -> UpstreamRequest:
        """Return the call that cancels a prediction."""
        return call_about(account, "POST", f"/v1/predictions/{task_id}/cancel", bearer(account))


def _is_running(task: Task) -> bool:
    return task.status in _RUNNING
