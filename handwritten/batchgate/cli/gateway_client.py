"""The commands' client of the gateway: typed answers; every failure is a `CallFailed` with a message for the user."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from types import TracebackType
from typing import Final, Self, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec
from yarl import URL

from batchgate.cli.command_text import command_text
from batchgate.cli.failures import ConnectionBroken, GatewayRefused, GatewayUnreachable, SubmissionRefused
from batchgate.engine.model.priority import PriorityScope
from batchgate_api.anthropic import MessageBatch
from batchgate_api.gateway import (
    BatchControls,
    BatchEstimate,
    BatchProgress,
    BatchSummary,
    BatchSummaryList,
    BatchTimeline,
    ChangeBudget,
    DeletedBatch,
    Lane,
    MoveDeadline,
    PausedJobs,
    Priority,
    RetryBatch,
    SetConcurrency,
    SetLane,
    SetPriority,
)

T = TypeVar("T")
JSON: Final = {"content-type": "application/json"}

BATCHES: Final = "/v1/messages/batches"
OPENAI_BATCHES: Final = "/openai/v1/batches"
UNIFIED_BATCHES: Final = "/v1/batches"
NO_KEY: Final = (
    "The gateway needs an API key: set BATCHGATE_API_KEY or --api-key. Its administrator makes one with "
    "`batchgate keys create NAME`, or in the table [api_keys.NAME] of its settings."
)
WRONG_KEY: Final = (
    "The gateway does not accept the API key of --api-key or BATCHGATE_API_KEY: it is wrong, expired or revoked."
)
PIECE: Final = 256 * 1024
"""Maximum bytes of results per piece."""

# A long transfer has no time limit; a silent connection has.
_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=300)
_EVENTS_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=45)
"""A gateway sends something every 15 seconds."""


class _Created(msgspec.Struct):
    """What the answers to the creates of all APIs have."""

    id: str


class _ErrorMessage(msgspec.Struct):
    message: str


class _ErrorEnvelope(msgspec.Struct):
    """What the errors of all APIs have."""

    error: _ErrorMessage
    request_id: str | None = None


class GatewayClient:
    """Calls the operations of one gateway. An async context manager that holds the connections."""

    def __init__(self, url: str, api_key: str | None = None) -> None:
        self._url = url.rstrip("/")
        self._headers = {} if api_key is None else {"x-api-key": api_key}
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        """Open the session."""
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=_TIMEOUT)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self._session.close()

    def command(self, *words: str) -> str:
        """Return a shell command that reaches the same gateway."""
        return command_text(self._url, *words)

    async def create(
        self, body: AsyncIterator[bytes], asked: Mapping[str, str | None] | None = None, *, path: str = BATCHES
    ) -> str:
        """Create a batch on the API at ``path`` and return its id; ``asked``: headers that say how it runs.

        The request body is streamed. Raises `SubmissionRefused` if the body raises it; the gateway then stores nothing.
        """
        given = {header: value for header, value in (asked or {}).items() if value}
        return (await self.ask("POST", path, _Created, headers=JSON | given, body=body)).id

    async def validate(self, body: AsyncIterator[bytes], account: str | None) -> BatchEstimate:
        """Check a batch without creating it, streaming the request body; raises `SubmissionRefused` as `create`."""
        headers = JSON if account is None else JSON | {"x-model-provider": account}
        return await self.ask("POST", "/api/batches/validate", BatchEstimate, headers=headers, body=body)

    async def find(self, batch_id: str) -> MessageBatch:
        """Read a batch."""
        return await self.ask("GET", f"{BATCHES}/{encoded(batch_id)}", MessageBatch)

    async def page(
        self, *, limit: int, after: str | None = None, filters: Mapping[str, str | None] | None = None
    ) -> BatchSummaryList:
        """Read a page of batches of every API, newest first, starting after the batch ``after``."""
        asked = {"limit": str(limit), "after": after, **(filters or {})}
        query = {name: value for name, value in asked.items() if value is not None}
        return await self.ask("GET", "/api/batches", BatchSummaryList, query=query)

    async def cancel(self, batch_id: str) -> MessageBatch:
        """Cancel a batch."""
        return await self.ask("POST", f"{BATCHES}/{encoded(batch_id)}/cancel", MessageBatch)

    async def delete(self, batch_id: str) -> DeletedBatch:
        """Delete an ended batch of any API, with its requests and results."""
        return await self.ask("DELETE", f"/api/batches/{encoded(batch_id)}", DeletedBatch)

    async def progress(self, batch_id: str) -> BatchProgress:
        """Read the counts of a batch."""
        return await self.ask("GET", f"/api/batches/{encoded(batch_id)}/progress", BatchProgress)

    async def pause(
        self, batch_id: str, *, reason: str | None = None, native_jobs: PausedJobs | None = None
    ) -> BatchControls:
        """Pause a batch."""
        given = {"reason": reason, "native_jobs": native_jobs}
        query = {name: value for name, value in given.items() if value is not None}
        return await self.ask("POST", f"/api/batches/{encoded(batch_id)}/pause", BatchControls, query=query)

    async def resume(self, batch_id: str) -> BatchControls:
        """Resume a batch."""
        return await self.ask("POST", f"/api/batches/{encoded(batch_id)}/resume", BatchControls)

    async def move_deadline(self, batch_id: str, expires_at: str) -> BatchControls:
        """Let a batch expire at another time."""
        path = f"/api/batches/{encoded(batch_id)}/deadline"
        return await self.send("PUT", path, MoveDeadline(expires_at=expires_at), BatchControls)

    async def set_priority(self, batch_id: str, priority: Priority, scope: PriorityScope) -> BatchControls:
        """Give a batch another priority, beside batches of its workspace or of all."""
        path = f"/api/batches/{encoded(batch_id)}/priority"
        return await self.send("PUT", path, SetPriority(priority=priority, scope=scope), BatchControls)

    async def set_concurrency(self, batch_id: str, concurrency: int | None) -> BatchControls:
        """Let another number of calls of a batch be in flight; None for any number."""
        path = f"/api/batches/{encoded(batch_id)}/concurrency"
        return await self.send("PUT", path, SetConcurrency(concurrency=concurrency), BatchControls)

    async def set_lane(self, batch_id: str, lane: Lane) -> BatchControls:
        """Move a batch to another lane."""
        return await self.send("PUT", f"/api/batches/{encoded(batch_id)}/lane", SetLane(lane=lane), BatchControls)

    async def retry(self, batch_id: str, retry: RetryBatch) -> BatchSummary:
        """Create a batch of requests of an ended batch."""
        return await self.send("POST", f"/api/batches/{encoded(batch_id)}/retry", retry, BatchSummary)

    async def change_budget(self, batch_id: str, budget_usd: float | None) -> BatchControls:
        """Let a batch cost more or less before it is paused; None for any amount."""
        path = f"/api/batches/{encoded(batch_id)}/budget"
        return await self.send("PUT", path, ChangeBudget(budget_usd=budget_usd), BatchControls)

    async def timeline(self, batch_id: str) -> BatchTimeline:
        """Read what was done to a batch."""
        return await self.ask("GET", f"/api/batches/{encoded(batch_id)}/timeline", BatchTimeline)

    async def results(self, batch_id: str, *, merged: bool = False) -> AsyncGenerator[bytes, None]:
        """Download the results so far, in the batch's own dialect, in pieces; a piece may end inside a line.

        With ``merged``, those of its retries are included.
        """
        query = {"merged": "true"} if merged else None
        async with aclosing(self.download(f"/api/batches/{encoded(batch_id)}/results", query)) as pieces:
            async for piece in pieces:
                yield piece

    async def download(self, path: str, query: Mapping[str, str] | None = None) -> AsyncGenerator[bytes, None]:
        """Download the content at a path, in pieces."""
        async with self._call("GET", path, query=query) as response:
            async for piece in response.content.iter_chunked(PIECE):
                yield piece

    async def events(self, batch_id: str | None, last_id: str | None) -> AsyncGenerator[bytes, None]:
        """Receive the events of a batch, or of all batches, in pieces, until the gateway ends the stream."""
        path = "/api/events" if batch_id is None else f"/api/batches/{encoded(batch_id)}/events"
        headers = None if last_id is None else {"last-event-id": last_id}
        async with self._call("GET", path, headers=headers, timeout=_EVENTS_TIMEOUT) as response:
            async for piece in response.content.iter_any():
                yield piece

    async def send(self, method: str, path: str, body: msgspec.Struct, answer: type[T]) -> T:
        """Call an operation with a JSON body and decode its JSON answer."""
        return await self.ask(method, path, answer, headers=JSON, body=msgspec.json.encode(body))

    async def ask(
        self,
        method: str,
        path: str,
        answer: type[T],
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: AsyncIterator[bytes] | bytes | None = None,
    ) -> T:
        """Call an operation and decode its JSON answer."""
        async with self._call(method, path, query=query, headers=headers, body=body) as response:
            try:
                return msgspec.json.decode(await response.read(), type=answer)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise GatewayRefused(
                    f"The server at {self._url} is not a Batchgate gateway: {error}", status=200
                ) from error

    @asynccontextmanager
    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: AsyncIterator[bytes] | bytes | None = None,
        timeout: aiohttp.ClientTimeout = _TIMEOUT,  # noqa: ASYNC109 - it is aiohttp's
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        url = URL(self._url + path, encoded=True).with_query(query)
        try:
            # No redirects: they would send the key to another server.
            async with self._session.request(
                method, url, headers=headers, data=body, timeout=timeout, allow_redirects=False
            ) as response:
                if response.status != 200:
                    content, has_key = await response.read(), "x-api-key" in self._headers
                    raise _refusal(self._url, response.status, content, has_key=has_key)
                yield response
        except aiohttp.ClientConnectorError as error:
            raise GatewayUnreachable(
                f"Cannot connect to a gateway at {self._url} ({_reason(error)}). "
                "Start one with `batchgate serve`, or set its URL with --url or BATCHGATE_URL."
            ) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            if isinstance(error.__cause__, SubmissionRefused):
                raise error.__cause__ from None
            raise ConnectionBroken(f"The connection to {self._url} broke ({_reason(error)}).") from error


def encoded(name: str) -> str:
    """Encode a name or an id as one path segment."""
    return quote(name, safe="", errors="surrogateescape")


def _reason(error: aiohttp.ClientError | TimeoutError) -> str:
    """Return the operating system's message if there is one: those of asyncio and aiohttp repeat the address."""
    if not isinstance(error, OSError) or not error.errno:
        return str(error) or "no data for too long"
    if isinstance(error, aiohttp.ClientSSLError | aiohttp.ClientConnectorDNSError):
        return str(error.strerror)
    return os.strerror(error.errno)


def _refusal(url: str, status: int, body: bytes, *, has_key: bool) -> GatewayRefused:
    try:
        envelope = msgspec.json.decode(body, type=_ErrorEnvelope)
    except (msgspec.DecodeError, UnicodeDecodeError):
        message = (
            f"The server at {url} is not a Batchgate gateway: it answered with HTTP status {status}. `batchgate serve` "
            "prints the URL of yours; set it with --url or BATCHGATE_URL."
        )
        return GatewayRefused(message, status=status)
    message = envelope.error.message if status != 401 else WRONG_KEY if has_key else NO_KEY
    return GatewayRefused(message, status=status, request_id=envelope.request_id)
