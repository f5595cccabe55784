"""Runs the gateway until a signal stops it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

from aiohttp import web

from batchgate.api.protocol import JsonErrorRunner
from batchgate.app import ENGINE, build_app
from batchgate.engine.errors import ConfigurationError
from batchgate.settings import Settings

BACKLOG = 1024


async def serve(settings: Settings, started: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, then drain; a second signal gives up the calls under way.

    ``started`` is told the URL once the gateway listens.
    """
    app = build_app(settings)
    runner = JsonErrorRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.host, settings.port, backlog=BACKLOG)
        try:
            await site.start()
        except OSError as error:
            raise ConfigurationError("host, port", f"an address to listen on: {_reason(error)}") from error
        stopped = _stop_signal(app)
        started(_url(settings.host, runner))
        await stopped.wait()
    finally:
        await runner.cleanup()


def _stop_signal(app: web.Application) -> asyncio.Event:
    """Make the event that the first signal sets; each one after it gives up the calls under way."""
    stopped = asyncio.Event()
    aborts: set[asyncio.Task[None]] = set()

    def on_signal() -> None:
        if stopped.is_set():
            aborts.add(asyncio.ensure_future(app[ENGINE].abort()))
        stopped.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    return stopped


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)


def _url(host: str, runner: web.AppRunner) -> str:
    port = runner.addresses[0][1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
