"""Calls about the tasks of a provider: polls until a task has ended, and cancels.

A poll is repeated whatever goes wrong, since the task is paid for and nothing is lost meanwhile. It ends before the
task only if the provider says that it does not know the task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from batchgate.engine.dispatch.endpoint import AccountEndpoint
from batchgate.engine.model.errors import NoUpstreamAnswer
from batchgate.engine.model.provider_call import UpstreamRequest, UpstreamResponse
from batchgate.engine.model.provider_task import ProviderTask
from batchgate.engine.ports.provider_tasks import ProviderTasks

FIRST_WAIT: Final = 1.0
"""Seconds until the first poll; each later wait is twice as long."""
MAX_WAIT: Final = 10.0
"""Seconds between two polls at most."""
MAX_REQUESTED_WAIT: Final = 300.0
"""Seconds between two polls at most where the provider asks for a wait."""
_GONE: Final = frozenset({404, 410})
_KEY_REJECTED: Final = frozenset({401, 403})

RetryAfter = Callable[[UpstreamResponse], float | None]
"""Reads the wait that an error response asks for, in seconds."""


async def await_task(
    endpoint: AccountEndpoint, tasks: ProviderTasks, task: ProviderTask, retry_after: RetryAfter
) -> UpstreamResponse:
    """Poll a task until it has ended, and return the last response.

    Raises `NoUpstreamAnswer` if the provider does not know the task any more.
    """
    wait = FIRST_WAIT
    while True:
        await asyncio.sleep(wait)
        wait = min(2 * wait, MAX_WAIT)
        try:
            response = await _send(endpoint, tasks.poll(endpoint.account, task.task_id))
        except NoUpstreamAnswer:
            continue
        if response.status in _GONE:
            message = f"the provider does not know the task {task.task_id} any more, so its outcome is unknown"
            raise NoUpstreamAnswer("api_error", message, status=response.status, retry_safe=False)
        if response.status in _KEY_REJECTED:
            await endpoint.refresh_key()
        state = tasks.read(response)
        if state is not None and not state.is_running:
            return response
        if state is None:
            wait = min(max(retry_after(response) or 0.0, MAX_WAIT), MAX_REQUESTED_WAIT)


async def cancel_task(endpoint: AccountEndpoint, tasks: ProviderTasks, task_id: str) -> bool:
    """Cancel a task unless it has ended; return whether nothing is left to do.

    The state is read first, since to cancel an ended task would delete it at some providers. Raises `NoUpstreamAnswer`.
    """
    response = await _send(endpoint, tasks.poll(endpoint.account, task_id))
    if response.status in _GONE:
        return True
    state = tasks.read(response)
    if state is None:
        return False
    if not state.is_running:
        return True
    canceled = await _send(endpoint, tasks.cancel(endpoint.account, task_id))
    return 200 <= canceled.status < 300 or canceled.status in _GONE


async def _send(endpoint: AccountEndpoint, request: UpstreamRequest) -> UpstreamResponse:
    return await endpoint.transport.send(request.signed())
