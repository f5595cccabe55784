"""The commands' client of the gateway: typed answers; every failure is a `CallFailed` with a message for the user."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Final, Self, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec
from yarl import URL

from batchgate.cli.failures import ConnectionBroken, GatewayRefused, GatewayUnreachable, SubmissionRefused
from batchgate_api.anthropic import MessageBatch, MessageBatchPage
from batchgate_api.gateway import BatchProgress, GatewayError

T = TypeVar("T")

BATCHES: Final = "/v1/messages/batches"
PIECE: Final = 256 * 1024
"""Maximum bytes of results per piece."""

# A long transfer has no time limit; a silent connection has.
_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=300)


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

    async def create(
        self, body: AsyncIterator[bytes], *, account: str | None = None, lane: str | None = None
    ) -> MessageBatch:
        """Create a batch on an account and in a lane, streaming the request body.

        Raises `SubmissionRefused` if the body raises it; the gateway then stores nothing.
        """
        asked = {"x-model-provider": account, "batchgate-lane": lane}
        headers = {"content-type": "application/json"} | {name: value for name, value in asked.items() if value}
        return await self.ask("POST", BATCHES, MessageBatch, headers=headers, body=body)

    async def find(self, batch_id: str) -> MessageBatch:
        """Read a batch."""
        return await self.ask("GET", f"{BATCHES}/{encoded(batch_id)}", MessageBatch)

    async def page(self, *, limit: int, after: str | None = None) -> MessageBatchPage:
        """Read a page of batches, newest first, starting after the batch ``after``."""
        query = {"limit": str(limit)} | ({} if after is None else {"after_id": after})
        return await self.ask("GET", BATCHES, MessageBatchPage, query=query)

    async def cancel(self, batch_id: str) -> MessageBatch:
        """Cancel a batch."""
        return await self.ask("POST", f"{BATCHES}/{encoded(batch_id)}/cancel", MessageBatch)

    async def progress(self, batch_id: str) -> BatchProgress:
        """Read the counts of a batch."""
        return await self.ask("GET", f"/api/batches/{encoded(batch_id)}/progress", BatchProgress)

    async def results(self, batch_id: str) -> AsyncGenerator[bytes, None]:
        """Download the results of an ended batch in pieces; a piece may end inside a line."""
        async with self._call("GET", f"{BATCHES}/{encoded(batch_id)}/results") as response:
            async for piece in response.content.iter_chunked(PIECE):
                yield piece

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
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        url = URL(self._url + path, encoded=True).with_query(query)
        try:
            # No redirects: they would send the key to another server.
            async with self._session.request(
                method, url, headers=headers, data=body, allow_redirects=False
            ) as response:
                if response.status != 200:
                    raise _refusal(self._url, response.status, await response.read())
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


def _refusal(url: str, status: int, body: bytes) -> GatewayRefused:
    try:
        envelope = msgspec.json.decode(body, type=GatewayError)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return GatewayRefused(
            f"{url} answered with HTTP status {status} and a body that is not Batchgate's.", status=status
        )
    return GatewayRefused(envelope.error.message, status=status, request_id=envelope.request_id)
