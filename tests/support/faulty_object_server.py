"""A proxy in front of an object server that injects faults."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from io import BytesIO
from typing import TypeAlias

import aiohttp
from aiohttp import web

from tests.support.object_server import ObjectServer

Fault: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse | None]]
"""Returns the wrong response to a call, or None to forward the call."""


class FaultyObjectServer:
    """Forwards calls to a server, except those to which ``fault`` returns a response."""

    def __init__(self, server: ObjectServer) -> None:
        self.fault: Fault = no_fault
        self.calls: list[str] = []
        """The method and the path of each call, in order."""
        self._server = server
        self._client: aiohttp.ClientSession

    @asynccontextmanager
    async def running(self) -> AsyncIterator[ObjectServer]:
        """Listen until the context is left; yield the server as it is reached through this proxy."""
        app = web.Application(client_max_size=0)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        async with aiohttp.ClientSession(auto_decompress=False) as self._client:
            server = self._server
            url = "http://{}:{}".format(*runner.addresses[0])
            yield ObjectServer(url, server.client, bucket=server.bucket, prefix=server.prefix)
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.calls.append(f"{request.method} {request.path}")
        return await self.fault(request) or await self._forward(request)

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        body = BytesIO(await request.read())
        headers = {name: value for name, value in request.headers.items() if name != "Content-Length"}
        url = self._server.url + request.raw_path
        async with self._client.request(request.method, url, headers=headers, data=body) as answer:
            forwarded = {name: value for name, value in answer.headers.items() if name not in _HOP_BY_HOP_HEADERS}
            if request.method == "HEAD":
                return web.Response(
                    status=answer.status, headers=forwarded | {"Content-Length": str(answer.content_length)}
                )
            return web.Response(status=answer.status, headers=forwarded, body=await answer.read())


_HOP_BY_HOP_HEADERS = ("Content-Length", "Transfer-Encoding", "Connection", "Date", "Server")


async def no_fault(_request: web.Request) -> None:
    """Forward the call."""


async def access_denied(_request: web.Request) -> web.Response:
    """Return 403 with an access key in the message, which must not be disclosed."""
    return web.Response(
        status=403,
        body=b"<Error><Code>AccessDenied</Code><Message>AKIAPLANTEDKEY may not</Message></Error>",
        content_type="application/xml",
    )


async def slow_down(_request: web.Request) -> web.Response:
    """Return 503 SlowDown."""
    return web.Response(status=503, body=b"<Error><Code>SlowDown</Code></Error>", content_type="application/xml")


async def no_response(_request: web.Request) -> None:
    """Never send a response."""
    await asyncio.Event().wait()


async def truncated_response(request: web.Request) -> web.StreamResponse:
    """Close the connection in the middle of the response."""
    response = web.StreamResponse(headers={"Content-Length": "1000000", "ETag": '"x"'})
    await response.prepare(request)
    await response.write(b"x" * 1000)
    assert request.transport is not None
    request.transport.abort()
    return response


def only_for(fault: Fault, *, method: str | None = None, query: str | None = None) -> Fault:
    """Limit a fault to calls with a method, with a text in the query, or both."""

    async def selective_fault(request: web.Request) -> web.StreamResponse | None:
        selected = method in {None, request.method} and (query is None or query in request.query_string)
        return await fault(request) if selected else None

    return selective_fault
