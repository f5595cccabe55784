"""Calls as the tests of the transports make them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest
from aiohttp import web

from batchgate.engine.model.errors import NoUpstreamAnswer
from batchgate.engine.model.provider_call import UpstreamRequest
from batchgate.providers.transport.http_client import HttpTransport
from batchgate.providers.transport.network_transport import NetworkTransport
from batchgate.providers.transport.proxy_transport import AiohttpTransport

KEY = "sk-very-secret"
Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]
Upstream: TypeAlias = Callable[[Handler], Awaitable[str]]
RawUpstream: TypeAlias = Callable[[bytes], Awaitable[str]]
Serve: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
WireUpstream: TypeAlias = Callable[[Serve], Awaitable[str]]
Opened: TypeAlias = HttpTransport | AiohttpTransport | NetworkTransport
Kind: TypeAlias = type[HttpTransport] | type[AiohttpTransport]


def call(url: str, *, timeout: float = 10.0, headers: dict[str, str] | None = None) -> UpstreamRequest:
    """Make a call that carries a key."""
    sent = {"x-api-key": KEY, "content-type": "application/json", **(headers or {})}
    return UpstreamRequest(url=url, headers=sent, body=b"{}", timeout=timeout)


async def failure(transport: Opened, request: UpstreamRequest) -> NoUpstreamAnswer:
    """Send and return the error that this must raise; none may ever show the key."""
    with pytest.raises(NoUpstreamAnswer) as caught:
        await transport.send(request)
    assert caught.value.status == 0
    assert caught.value.__cause__ is not None or "more than" in caught.value.message
    assert KEY not in str(caught.value)
    return caught.value
