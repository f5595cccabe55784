"""A server that serves a video over TLS, and redirects to it."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web


@asynccontextmanager
async def secure_server(context: ssl.SSLContext) -> AsyncIterator[str]:
    """Serve 200,000 bytes at every path but /moved, while the context is entered; yields the URL."""

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/moved":
            raise web.HTTPFound("/video")
        assert "authorization" not in request.headers
        return web.Response(body=b"v" * 200_000, content_type="video/mp4")

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
