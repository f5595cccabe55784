"""Both transports, and servers for them to call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from batchgate.providers.transport.http_client import HttpTransport
from batchgate.providers.transport.proxy_transport import AiohttpTransport
from tests.unit.providers.transports import Handler, Kind, Opened, RawUpstream, Serve, Upstream, WireUpstream


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    """Start servers that answer as a handler says; returns their URLs."""
    async with AsyncExitStack() as servers:

        async def start(handler: Handler) -> str:
            app = web.Application()
            app.router.add_route("*", "/{path:.*}", handler)
            server = await servers.enter_async_context(TestServer(app))
            return str(server.make_url("/v1/messages"))

        yield start


@pytest.fixture
async def wire_upstream() -> AsyncIterator[WireUpstream]:
    """Start servers that do with a connection what they are told; returns their URLs."""
    connections: set[asyncio.Task[None]] = set()
    async with AsyncExitStack() as servers:

        async def start(serve: Serve) -> str:
            async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                task = asyncio.current_task()
                assert task is not None
                connections.add(task)
                try:
                    await serve(reader, writer)
                except (asyncio.CancelledError, asyncio.IncompleteReadError, ConnectionError):
                    pass  # the transport hung up, or the test is over
                finally:
                    writer.close()

            server = await asyncio.start_server(connected, "127.0.0.1", 0)
            servers.push_async_callback(server.wait_closed)
            servers.callback(server.close)
            return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/messages"

        yield start
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


@pytest.fixture
async def raw_upstream(wire_upstream: WireUpstream) -> RawUpstream:
    """Start servers that send given bytes to whoever asks and hang up; returns their URLs."""

    async def start(reply: bytes) -> str:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n{}")
            writer.write(reply)
            await writer.drain()

        return await wire_upstream(serve)

    return start


@pytest.fixture(params=[HttpTransport, AiohttpTransport])
def kind(request: pytest.FixtureRequest) -> Kind:
    """Choose each transport in turn: what holds for one holds for the other."""
    chosen: Kind = request.param
    return chosen


@pytest.fixture
async def transport(kind: Kind) -> AsyncIterator[Opened]:
    """Open a transport with default settings."""
    async with kind() as opened:
        yield opened
