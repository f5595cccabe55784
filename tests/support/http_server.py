"""HTTP servers on free ports of this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web


@asynccontextmanager
async def http_server(
    answer: Callable[[web.Request], Awaitable[web.Response]], path: str = "/v1/messages"
) -> AsyncIterator[str]:
    """Answer POST requests to a path while the context is entered, and yield the URL without the path."""
    app = web.Application()
    app.router.add_post(path, answer)
    async with serving(app) as url:
        yield url


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[str]:
    """Serve an application while the context is entered, and yield its URL."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
