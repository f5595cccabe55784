"""A client of the gateway for the commands: typed answers, and every failure as a `CallFailed` that can be shown."""

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
"""How many bytes of results are handed on at a time, at most."""

# A body may take as long as it takes, silence may not.
_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=300)


class GatewayClient:
    """The operations of one gateway; an async context manager, for the connections that it keeps."""

    def __init__(self, url: str, api_key: str | None = None) -> None:
        self._url = url.rstrip("/")
        self._headers = {} if api_key is None else {"x-api-key": api_key}
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        """Get ready to connect."""
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=_TIMEOUT)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self._session.close()

    async def create(self, body: AsyncIterator[bytes], *, provider: str | None = None) -> MessageBatch:
        """Create a batch from the body of a create, sent as it comes.

        Raises `SubmissionRefused` when that is what the body raises: then nothing is stored.
        """
        headers = {"content-type": "application/json"} | ({} if provider is None else {"x-model-provider": provider})
        return await self.ask("POST", BATCHES, MessageBatch, headers=headers, body=body)

    async def find(self, batch_id: str) -> MessageBatch:
        """Read a batch."""
        return await self.ask("GET", f"{BATCHES}/{encoded(batch_id)}", MessageBatch)

    async def page(self, *, limit: int, after: str | None = None) -> MessageBatchPage:
        """Read a page of batches, the newest first, from the one after ``after`` on."""
        query = {"limit": str(limit)} | ({} if after is None else {"after_id": after})
        return await self.ask("GET", BATCHES, MessageBatchPage, query=query)

    async def cancel(self, batch_id: str) -> MessageBatch:
        """Stop a batch."""
        return await self.ask("POST", f"{BATCHES}/{encoded(batch_id)}/cancel", MessageBatch)

    async def progress(self, batch_id: str) -> BatchProgress:
        """Count the requests of a batch by how they ended so far."""
        return await self.ask("GET", f"/api/batches/{encoded(batch_id)}/progress", BatchProgress)

    async def results(self, batch_id: str) -> AsyncGenerator[bytes, None]:
        """Download the results of a batch that has ended, piece by piece; a piece may end inside a line."""
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
        """Call an operation that answers in JSON."""
        async with self._call(method, path, query=query, headers=headers, body=body) as response:
            try:
                return msgspec.json.decode(await response.read(), type=answer)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise GatewayRefused(f"What answers at {self._url} is no Batchgate: {error}", status=200) from error

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
            # No redirects: they would carry the key to another place.
            async with self._session.request(
                method, url, headers=headers, data=body, allow_redirects=False
            ) as response:
                if response.status != 200:
                    raise _refusal(self._url, response.status, await response.read())
                yield response
        except aiohttp.ClientConnectorError as error:
            raise GatewayUnreachable(
                f"There is no gateway at {self._url} ({_reason(error)}). "
                "Start one with `batchgate serve`, or say where it is with --url or BATCHGATE_URL."
            ) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            if isinstance(error.__cause__, SubmissionRefused):
                raise error.__cause__ from None
            raise ConnectionBroken(f"The connection to {self._url} broke ({_reason(error)}).") from error


def encoded(name: str) -> str:
    """Write a name or an id as a part of a path."""
    return quote(name, safe="", errors="surrogateescape")


def _reason(error: aiohttp.ClientError | TimeoutError) -> str:
    """Say why in the system's words, where it has some: asyncio's and aiohttp's repeat the address."""
    if not isinstance(error, OSError) or not error.errno:
        return str(error) or "it was silent for too long"
    if isinstance(error, aiohttp.ClientSSLError | aiohttp.ClientConnectorDNSError):
        return str(error.strerror)
    return os.strerror(error.errno)


def _refusal(url: str, status: int, body: bytes) -> GatewayRefused:
    try:
        envelope = msgspec.json.decode(body, type=GatewayError)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return GatewayRefused(f"{url} answered with HTTP status {status}, and not as a Batchgate does.", status=status)
    return GatewayRefused(envelope.error.message, status=status, request_id=envelope.request_id)
