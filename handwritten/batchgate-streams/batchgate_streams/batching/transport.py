"""The transport: an HTTP client of httpx2 uses it in the place of the network."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from http import HTTPStatus
from typing import Final

import httpx2

from batchgate_client import AuthenticatedClient
from batchgate_streams.batch_options import BatchOptions, Lane
from batchgate_streams.batching.batch_run import BatchRun
from batchgate_streams.batching.gathering import Gathering
from batchgate_streams.batching.loop_thread import LoopThread
from batchgate_streams.batching.replies import Reply, error_reply
from batchgate_streams.batching.single_calls import Group, SingleCall, group_of
from batchgate_streams.calls import Provider

CLOSE_TIMEOUT: Final = 10.0
"""Seconds in which `BatchTransport.close` cancels the batches that are left."""


class BatchTransport(httpx2.BaseTransport, httpx2.AsyncBaseTransport):
    """Sends the calls of an SDK as batches and answers each of them from its result.

    It takes the place of the network in an `httpx2.Client` or an `httpx2.AsyncClient`, or in several of both: calls of
    all threads and event loops are gathered together. A batch is created ``max_wait`` seconds after its first call, or
    with ``max_requests`` calls. ``base_url`` and ``api_key`` are those of the gateway; the URL and the key of the SDK
    are not used. ``provider``, ``name`` and ``lane`` are those of the batches.

    Timeouts of the SDK do not apply, and it makes no retries: Batchgate does. An error of the gateway is an error
    response. To close a client closes its transport: calls that still wait get an error, and their batches are
    canceled.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str,
        max_requests: int = 1000,
        max_wait: float = 2.0,
        provider: Provider | None = None,
        name: str | None = None,
        lane: Lane | None = None,
    ) -> None:
        if max_requests < 1:
            raise ValueError(f"max_requests: at least 1, not {max_requests}")
        if max_wait < 0:
            raise ValueError(f"max_wait: seconds, 0 or more, not {max_wait}")
        self._client = AuthenticatedClient(base_url=base_url, token=api_key)
        self._options = BatchOptions(provider=provider, name=name, lane=lane)
        self._gathering = Gathering(self._start, max_requests=max_requests, max_wait=max_wait)
        self._thread = LoopThread("batchgate-batching")
        self._runs: dict[asyncio.Task[None], Sequence[SingleCall]] = {}
        self._is_closed = False

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Wait in this thread for the result of a call."""
        request.read()
        future = self._submit(request)
        try:
            return future.result().response(request)
        except BaseException:
            future.cancel()
            raise

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Wait for the result of a call; a cancelled call leaves its batch."""
        await request.aread()
        reply = await asyncio.wrap_future(self._submit(request))
        return reply.response(request)

    def close(self) -> None:
        """Answer the calls that still wait with an error, and cancel their batches."""
        if not self._is_closed:
            self._is_closed = True
            self._thread.submit(self._shut_down()).result()
            self._thread.stop()

    async def aclose(self) -> None:
        """Do the same without blocking the event loop."""
        await asyncio.to_thread(self.close)

    def _submit(self, request: httpx2.Request) -> Future[Reply]:
        group = group_of(request)
        if self._is_closed:
            group = _closed(request.url.path)
        if isinstance(group, Reply):
            answered: Future[Reply] = Future()
            answered.set_result(group)
            return answered
        return self._thread.submit(self._reply(group, request.content))

    async def _reply(self, group: Group, body: bytes) -> Reply:
        call = SingleCall(group, body, asyncio.get_running_loop().create_future())
        self._gathering.add(call)
        return await call.reply

    def _start(self, group: Group, calls: Sequence[SingleCall]) -> None:
        task = asyncio.create_task(BatchRun(self._client, group, calls, self._options).run())
        self._runs[task] = calls
        task.add_done_callback(self._runs.pop)

    async def _shut_down(self) -> None:
        tasks = list(self._runs)
        for call in [*self._gathering.clear(), *(call for calls in self._runs.values() for call in calls)]:
            call.resolve(_closed(call.group.endpoint))
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=CLOSE_TIMEOUT)
            for task in late:
                task.cancel()
        await self._client.get_async_httpx_client().aclose()


def _closed(path: str) -> Reply:
    return error_reply(path, HTTPStatus.SERVICE_UNAVAILABLE, "the BatchTransport was closed before the answer came")
