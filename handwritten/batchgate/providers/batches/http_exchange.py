"""The HTTP client of the batch APIs: JSON calls, uploads of any size, and streamed downloads.

No call is retried: after a POST without an answer, its caller looks for what it made. Each call has a connection of its
own, since a POST on a connection that the server has just closed would end without an answer too.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, Literal, Self, TypeAlias

import aiohttp
from msgspec import Struct, structs
from yarl import URL

from batchgate.engine.model.errors import NoUpstreamAnswer
from batchgate.engine.model.provider_call import Account, UpstreamRequest, UpstreamResponse
from batchgate.engine.model.redacted_repr import redacted_repr
from batchgate.providers.batches.request_bodies import SpooledBody, spooled
from batchgate.providers.batches.secret_redaction import without_secrets
from batchgate.providers.responses.provider_errors import upstream_error
from batchgate.providers.transport import call_errors
from batchgate.providers.transport.aiohttp_errors import to_upstream_error
from batchgate.providers.transport.proxy_transport import TransportSettings

Method: TypeAlias = Literal["GET", "POST", "DELETE"]
SentBody: TypeAlias = bytes | AsyncIterator[bytes] | None

MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024
"""The largest answer that is read as a whole; a page of 1,000 Message Batches has 0.5 MB."""
_MAX_ERROR_BYTES: Final = 64 * 1024
"""How much is read of an error; a message is shortened to far less."""
_MAX_REDIRECTS: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class HttpCall(Struct, frozen=True, kw_only=True):
    """One call to a batch API."""

    method: Method = "GET"
    url: str
    headers: Mapping[str, str]
    """Headers with the key; they are sent to the host of ``url`` alone."""
    body: bytes | AsyncIterator[bytes] | None = None
    """An iterator is read before anything is sent, into a temporary file."""

    def __repr__(self) -> str:
        """Return a repr without the headers, which contain the key, and without the body."""
        return redacted_repr(self, "headers", "body")


class HttpExchange:
    """Sends calls to batch APIs; open it with ``async with``.

    Every method raises `UpstreamError` for an error of the provider, and `NoUpstreamAnswer` if there is no complete
    response. A call fails if nothing is sent or received for the ``timeout`` of its account.
    """

    def __init__(self, settings: TransportSettings | None = None) -> None:
        self._settings: Final = settings or TransportSettings()
        self._session: aiohttp.ClientSession | None = None
        self._certificates: ssl.SSLContext | None = None
        self._spooling: Final = asyncio.Lock()

    async def __aenter__(self) -> Self:
        """Open the session in the running event loop."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"user-agent": self._settings.user_agent, "accept-encoding": "gzip, deflate"},
            trust_env=self._settings.trust_env,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(self, account: Account, call: HttpCall) -> UpstreamResponse:
        """Send a call and return the complete response, whose status is 2xx; raises `BlobError` for its own disk."""
        if call.body is None or isinstance(call.body, bytes):
            return await self._send(account, call, call.body)
        async with spooled(call.body, self._spooling) as body:
            sized = structs.replace(call, headers={**call.headers, "content-length": str(body.size)})
            return await self._send(account, sized, body)

    async def _send(self, account: Account, call: HttpCall, body: bytes | SpooledBody | None) -> UpstreamResponse:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(account.timeout) as deadline:
                if isinstance(body, SpooledBody):
                    blocks = body.blocks(lambda: deadline.reschedule(loop.time() + account.timeout))
                    return await self._exchange(account, call, blocks)
                return await self._exchange(account, call, body)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise to_upstream_error(error, _described(account, call)) from error

    async def download(self, account: Account, call: HttpCall) -> AsyncGenerator[bytes, None]:
        """Send a call and yield the content of the response in blocks, as they arrive."""
        call = structs.replace(call, headers={"accept-encoding": "identity", **call.headers})
        try:
            async with self._response(account, call, None) as response:
                async for block in response.content.iter_any():
                    yield block
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise to_upstream_error(error, _described(account, call)) from error

    async def _exchange(self, account: Account, call: HttpCall, body: SentBody) -> UpstreamResponse:
        async with self._response(account, call, body) as response:
            content, is_complete = await _read(response, MAX_ANSWER_BYTES)
            if not is_complete:
                raise call_errors.response_too_large(_described(account, call), MAX_ANSWER_BYTES)
            return UpstreamResponse(status=response.status, headers=_headers(response), body=content)

    @asynccontextmanager
    async def _response(
        self, account: Account, call: HttpCall, body: SentBody
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a call, follow the redirects of a GET, and yield a response whose status is 2xx."""
        url, headers = URL(call.url), call.headers
        for _ in range(_MAX_REDIRECTS):
            async with await self._request(account, call.method, url, headers, body) as response:
                target = response.headers.get("location")
                if call.method != "GET" or response.status not in _REDIRECTS or target is None:
                    if not 200 <= response.status < 300:
                        raise await _error(account, response)
                    yield response
                    return
                redirected = _redirect_target(url, target)
                if redirected.origin() != url.origin():
                    headers = _without_credentials(headers)
                url = redirected
        raise _refused_redirect(f"it redirects more than {_MAX_REDIRECTS} times")

    async def _request(
        self,
        account: Account,
        method: Method,
        url: URL,
        headers: Mapping[str, str],
        body: SentBody,
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        certificates = await self._trusted_certificates() if url.scheme == "https" else True
        if self._session is None:
            raise RuntimeError("the exchange is not open: use it with `async with`")
        connect = min(self._settings.connect_timeout, account.timeout)
        return self._session.request(
            method,
            url,
            data=body,
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect, sock_read=account.timeout),
            allow_redirects=False,
            ssl=certificates,
        )

    async def _trusted_certificates(self) -> ssl.SSLContext:
        """Return the certificates of the machine; a thread reads them, which would hold the event loop for 20 ms."""
        if self._certificates is None:
            self._certificates = await asyncio.to_thread(ssl.create_default_context)
        return self._certificates


def _redirect_target(source: URL, target: str) -> URL:
    """Return where a redirect leads; its URL is kept as it is written, since it may be signed."""
    url = source.join(URL(target, encoded=target.isascii() and " " not in target))
    if url.scheme not in {"http", "https"} or (source.scheme == "https" and url.scheme == "http"):
        raise _refused_redirect(f"it redirects from {source.scheme} to {url.scheme}")
    return url


def _without_credentials(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Return only the headers that say what may be returned: any other may be a key or belong to the provider."""
    return {name: value for name, value in headers.items() if name.lower() in {"accept", "accept-encoding"}}


def _refused_redirect(reason: str) -> NoUpstreamAnswer:
    return NoUpstreamAnswer(
        "api_error", f"The provider's response cannot be followed: {reason}.", status=0, retry_safe=False
    )


async def _error(account: Account, response: aiohttp.ClientResponse) -> Exception:
    """Make the error for an error response; the message shows nothing of the account's credentials."""
    content, _ = await _read(response, _MAX_ERROR_BYTES)
    text = without_secrets(account, content.decode(errors="surrogateescape"))
    headers = {name: without_secrets(account, value) for name, value in _headers(response).items()}
    body = text.encode(errors="surrogateescape")
    return upstream_error(UpstreamResponse(status=response.status, headers=headers, body=body))


async def _read(response: aiohttp.ClientResponse, limit: int) -> tuple[bytes, bool]:
    """Return at most ``limit`` bytes of a response, and whether that is all of it."""
    content = bytearray()
    while block := await response.content.readany():
        content += block
        if len(content) > limit:
            response.close()
            return bytes(content[:limit]), False
    return bytes(content), True


def _headers(response: aiohttp.ClientResponse) -> dict[str, str]:
    """Return the headers as valid text, for any bytes that the provider sent."""
    return {
        name.lower(): value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        for name, value in response.headers.items()
    }


def _described(account: Account, call: HttpCall) -> UpstreamRequest:
    """Return what messages about a failed call may name."""
    return UpstreamRequest(url=call.url, headers={}, body=b"", timeout=account.timeout)
