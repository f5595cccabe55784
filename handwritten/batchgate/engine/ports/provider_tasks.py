"""Tasks of a provider: it answers a call at once, and does the work while the caller asks how far it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from batchgate.engine.model.provider_call import Account, UpstreamRequest, UpstreamResponse


class TaskState(Struct, frozen=True, kw_only=True):
    """What a response says about a task."""

    task_id: str
    is_running: bool
    """Whether the provider still works on it, or will."""


class ProviderTasks(Protocol):
    """Makes the calls about tasks, and reads their answers; does no I/O.

    The response that says that a task has ended is decoded by the `ProviderHandler`.
    """

    def read(self, response: UpstreamResponse) -> TaskState | None:
        """Read the answer to a create or a poll; None if it is no task, but an error."""
        ...

    def poll(self, account: Account, task_id: str) -> UpstreamRequest:
        """Return the call that asks for a task."""
        ...

    def output_urls(self, answer: bytes) -> Sequence[str]:
        """Return the https URLs of what a task that succeeded has made, each once; none if it made a text."""
        ...

    def cancel(self, account: Account, task_id: str) -> UpstreamRequest:
        """Return the call that cancels a running task."""
        ...
