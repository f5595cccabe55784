"""Runs a gateway or a worker until a signal stops it."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from aiohttp import web

from batchgate.api.protocol import JsonErrorRunner
from batchgate.app import ENGINE, build_app
from batchgate.blobs import THREAD_RELEASE_DELAY
from batchgate.engine.engine import Engine
from batchgate.engine.model.errors import ConfigurationError
from batchgate.engine.support import failpoints
from batchgate.installation import Role, wait_for_database
from batchgate.malloc_options import limit_kept_memory
from batchgate.open_files import connections_that_fit, raise_open_files_limit
from batchgate.settings import Settings

logger = logging.getLogger(__name__)

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
BACKLOG = 1024
"""Connections that the kernel keeps until they are accepted."""
ACCEPTED_TOGETHER = 32
"""Connections that are accepted before the first of them is counted: so many open files more than there should be."""
GC_THRESHOLD = 50_000
"""New objects that trigger a garbage collection. Python's default is made for small programs: a gateway with thousands
of requests in memory would scan all of them every few milliseconds."""
CANCEL_TIMEOUT = 0.1
"""Seconds that an HTTP request has to react to its cancellation."""


def run_server(
    settings: Settings, started: Callable[[str], None], *, role: Role = "both", listens: bool = True
) -> None:
    """Run `serve` in an event loop of its own.

    The objects of all imported modules are excluded from garbage collection before it starts: a collection of them
    takes as long as the loop may stall.
    """
    _exclude_from_garbage_collection()
    asyncio.run(serve(settings, started, role=role, listens=listens))


async def serve(
    settings: Settings, started: Callable[[str], None], *, role: Role = "both", listens: bool = True
) -> None:
    """Serve until SIGTERM or SIGINT, then stop gracefully; a second signal stops at once.

    It first waits for the database, and does not listen meanwhile: a gateway that cannot serve is not ready.
    ``started`` is called with the URL once the process is ready; the URL is empty if the process does not listen.
    """
    failpoints.arm_failpoints(os.environ)
    if listens:
        await _check_address(settings)
    raise_open_files_limit()
    limit_kept_memory()
    app = build_app(settings, role=role)
    if not await _database_is_there(settings):
        return
    runner = JsonErrorRunner(app, max_connections=connections_that_fit(settings), shutdown_timeout=CANCEL_TIMEOUT)
    try:
        await runner.setup()
        _exclude_from_garbage_collection()
        gc.set_threshold(GC_THRESHOLD, 10, 10)
        site = await _listen(runner, settings) if listens else None
        signals, url = _Signals(), _url(settings.host, runner) if listens else ""
        _log_start(app[ENGINE].cluster.member, url, role)
        started(url)
        await signals.first.wait()
        in_flight = app[ENGINE].router.in_flight
        message = "draining: waiting for %d requests in flight to providers, and for open HTTP calls"
        logger.info(message, in_flight, extra={"action": "stopping"})
        stopping = asyncio.create_task(_stop(app[ENGINE], site, runner, settings.shutdown_timeout))
        await signals.second_or(stopping)
        await app[ENGINE].abort()
        stopping.cancel()
        with suppress(asyncio.CancelledError):
            await stopping
    finally:
        await runner.cleanup()
        await asyncio.sleep(THREAD_RELEASE_DELAY)


async def _database_is_there(settings: Settings) -> bool:
    """Wait for the database; return False if a signal comes first."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    try:
        is_there = await wait_for_database(settings, stop)
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)
    if not is_there:
        logger.info("stopped while the database was awaited", extra={"action": "stopping"})
    return is_there


def _log_start(member: int | None, url: str, role: Role) -> None:
    fields = {"action": "started", "url": url, "role": role, "member": member}
    logger.info("listens on %s" if url else "runs batches as member %s", url or member, extra=fields)


async def _listen(runner: web.AppRunner, settings: Settings) -> web.TCPSite:
    # asyncio has one number for both.
    site = web.TCPSite(runner, settings.host, settings.port, backlog=ACCEPTED_TOGETHER)
    with _translated(settings):
        await site.start()
    assert isinstance(site._server, asyncio.Server)  # noqa: SLF001 - aiohttp does not tell its sockets
    for listener in site._server.sockets:  # noqa: SLF001
        with listener.dup() as same:
            same.listen(BACKLOG)
    return site


async def _check_address(settings: Settings) -> None:
    """Refuse an address that is not available, before anything is created or changed."""
    loop = asyncio.get_running_loop()
    with _translated(settings):
        server = await loop.create_server(asyncio.Protocol, settings.host, settings.port, start_serving=False)
    server.close()


@contextmanager
def _translated(settings: Settings) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = "; --port 0 picks a free port" if error.errno == errno.EADDRINUSE else ""
        address = f"{settings.host}:{settings.port} cannot be used: {_reason(error)}{hint}"
        raise ConfigurationError("host, port", f"an address to listen on; {address}") from error


def _exclude_from_garbage_collection() -> None:
    """Exclude all objects that are in use now."""
    gc.collect()
    gc.freeze()


class _Signals:
    """The stop signals: the first one stops gracefully, the second one at once."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self._second = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self._on_signal)

    def _on_signal(self) -> None:
        (self._second if self.first.is_set() else self.first).set()

    async def second_or(self, task: asyncio.Task[None]) -> None:
        """Wait for the second signal or the end of a task, whichever comes first."""
        second = asyncio.create_task(self._second.wait())
        await asyncio.wait([second, task], return_when=asyncio.FIRST_COMPLETED)
        second.cancel()


async def _stop(engine: Engine, site: web.TCPSite | None, runner: web.AppRunner, shutdown_timeout: float) -> None:
    """Drain within the timeout: first the calls to providers, while callers can still read, then the HTTP server."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + shutdown_timeout
    await engine.drain()
    if site is not None:
        await site.stop()
    server = runner.server
    assert server is not None
    await runner.shutdown()  # ends the streams of events
    server.pre_shutdown()
    await server.shutdown(max(CANCEL_TIMEOUT, deadline - loop.time()))


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)


def _url(host: str, runner: web.AppRunner) -> str:
    port = runner.addresses[0][1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
