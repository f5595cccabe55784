"""Server-sent events: callers follow a batch, or all batches of their workspace, without asking again and again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from functools import partial
from math import inf
from typing import Final

from aiohttp import hdrs, web
from msgspec import Struct

from batchgate.api.binding import value_or_none
from batchgate.api.context import EVENT_STREAMS, RECHECK, WORKSPACE, key_of
from batchgate.api.gateway.event_feed import EventFeed, EventStream
from batchgate.api.gateway.summaries import BatchSummaries
from batchgate.api.sending import DownloadStalled, send_stream
from batchgate.engine.lifecycle.batch_looks import OVERLAP, BatchLooks, Look
from batchgate.engine.model.errors import RefusedError
from batchgate_api import parameters

HEARTBEAT: Final = 15.0
"""Seconds after which a comment is sent if nothing else was, and the key is checked again."""
COMMENT: Final = b": no news\n\n"
RETRY: Final = b"retry: 2000\n\n"
"""The milliseconds after which a browser connects again."""
HEADERS: Final = {
    hdrs.CONTENT_TYPE: "text/event-stream",
    hdrs.CACHE_CONTROL: "no-store",
    "X-Accel-Buffering": "no",  # nginx would keep events back
}
RETRY_AFTER: Final = "5"  # seconds


class OpenedStream(Struct, frozen=True, kw_only=True):
    """A stream, and what it begins with."""

    stream: EventStream
    look: Look
    first: bytes

    def has_ended_before(self, moment: int) -> bool:
        """Return whether all of its batches have ended long enough before a time that a look then has seen it."""
        return all(batch.ended_at is not None and batch.ended_at + OVERLAP <= moment for batch in self.look.batches)


class EventFeeds:
    """The feeds that are in use, one for each batch or workspace that is followed."""

    def __init__(self, looks: BatchLooks, summaries: BatchSummaries) -> None:
        self._looks = looks
        self._summaries = summaries
        self._feeds: dict[tuple[str, str | None], EventFeed] = {}
        self._closed = False

    @asynccontextmanager
    async def open(self, workspace: str, batch_id: str | None, last_id: int | None) -> AsyncIterator[OpenedStream]:
        """Open a stream of a batch, or of a workspace; raises `RefusedError` if there is no such batch."""
        if self._closed:
            message = "The gateway is shutting down; connect again."
            raise RefusedError("overloaded_error", message, headers={"Retry-After": RETRY_AFTER})
        key = (workspace, batch_id)
        if key not in self._feeds:
            self._feeds[key] = EventFeed(self._look(*key), self._summaries, ends_with_batch=batch_id is not None)
        feed = self._feeds[key]
        stream = feed.add()
        try:
            since = self._looks.now() if last_id is None else last_id
            look, first = await feed.begin(stream, since, resumes=last_id is not None)
            yield OpenedStream(stream=stream, look=look, first=first)
        finally:
            feed.remove(stream)
            if not feed.is_used:
                del self._feeds[key]

    def _look(self, workspace: str, batch_id: str | None) -> Callable[[int], Awaitable[Look]]:
        if batch_id is None:
            return partial(self._looks.workspace, workspace)
        return partial(self._looks.batch, workspace, batch_id)

    def close(self) -> None:
        """End all streams, and open no others."""
        self._closed = True
        for feed in self._feeds.values():
            feed.end()


EVENT_FEEDS: Final = web.AppKey("event_feeds", EventFeeds)


async def end_event_streams(app: web.Application) -> None:
    """End all streams, because the gateway stops: their clients go on at another one."""
    feeds = app.get(EVENT_FEEDS)
    if feeds is not None:  # else the start has failed
        feeds.close()


async def send_events(
    request: web.Request,
    batch_id: str | None,
    params: parameters.StreamEventsParameters | parameters.StreamBatchEventsParameters,
) -> web.StreamResponse:
    """Send the events of a batch, or of all batches of the caller's workspace, until they end."""
    given = value_or_none(params.last_event_id)
    last_id = None if given is None else int(given)
    with request.app[EVENT_STREAMS].hold(key_of(request)):  # before anything is read for it
        async with request.app[EVENT_FEEDS].open(request[WORKSPACE], batch_id, last_id) as opened:
            if batch_id is not None and last_id is not None and opened.has_ended_before(last_id):
                return web.Response(status=204)
            async with aclosing(_pieces(request, opened, value_or_none(params.max_seconds))) as pieces:
                return await send_stream(request, web.StreamResponse(headers=HEADERS), pieces)


async def _pieces(request: web.Request, opened: OpenedStream, seconds: int | None) -> AsyncGenerator[bytes, None]:
    """Yield events and comments until the stream ends, the seconds are over, or the key is no longer valid."""
    loop = asyncio.get_running_loop()
    end = inf if seconds is None else loop.time() + seconds
    check_at = loop.time() + HEARTBEAT
    yield RETRY + opened.first
    while (left := end - loop.time()) > 0:
        try:
            piece = await opened.stream.next(min(left, HEARTBEAT))
        except TimeoutError:
            piece = COMMENT
        if opened.stream.lags:
            raise DownloadStalled
        if piece is None:
            return
        if loop.time() >= check_at:
            check_at = loop.time() + HEARTBEAT
            if not await _may_read(request):
                return
        yield piece


async def _may_read(request: web.Request) -> bool:
    """Return whether the key of the caller is still valid."""
    try:
        await request[RECHECK]()
    except RefusedError:
        return False
    return True
