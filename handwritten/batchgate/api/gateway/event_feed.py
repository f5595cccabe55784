"""The events of one batch, or of all batches of a workspace, for any number of streams."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import msgspec

from batchgate.api.gateway.summaries import BatchSummaries
from batchgate.engine.lifecycle.batch_looks import Look
from batchgate.engine.model.batch import Batch, BatchPause
from batchgate.engine.model.errors import RefusedError, StoreError
from batchgate.engine.model.health_report import AccountPause
from batchgate.engine.model.steering import TimelineEntry
from batchgate.engine.model.times import rfc3339
from batchgate_api import gateway

logger = logging.getLogger(__name__)

INTERVAL: Final = 1.0
"""Seconds between two looks at the store, with few streams."""
STREAMS_A_SECOND: Final = 200
"""Streams that get events in a second; with more the looks are further apart, and batches keep the processor."""
MOST_WAITING: Final = 32
"""Pieces that wait for a client; one that reads so slowly is dropped. All streams of a feed share the bytes."""

Known = tuple[Batch, BatchPause | AccountPause | None]


class EventStream:
    """What waits to be sent to one client."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.lags = False
        """Whether the client reads too slowly."""

    def add(self, piece: bytes | None) -> None:
        """Add events; None ends the stream."""
        if self.lags:
            return
        if self._waiting.qsize() >= MOST_WAITING:
            self.lags, piece = True, None
            while not self._waiting.empty():
                self._waiting.get_nowait()
        self._waiting.put_nowait(piece)

    async def next(self, seconds: float) -> bytes | None:
        """Return the next events, or None at the end; raises `TimeoutError` if none come in time."""
        async with asyncio.timeout(seconds):
            return await self._waiting.get()


class EventFeed:
    """Looks about once a second while it has streams, and adds what has changed to each of them."""

    def __init__(
        self, look: Callable[[int], Awaitable[Look]], summaries: BatchSummaries, *, ends_with_batch: bool
    ) -> None:
        self._look = look
        self._summaries = summaries
        self._ends_with_batch = ends_with_batch
        self._streams: set[EventStream] = set()
        self._known: Mapping[str, Known] = {}
        self._actions: frozenset[tuple[str, TimelineEntry]] = frozenset()
        self._since = 0
        self._looking: asyncio.Task[None] | None = None

    @property
    def is_used(self) -> bool:
        """Whether it has any streams."""
        return bool(self._streams)

    def add(self) -> EventStream:
        """Add a stream; nothing that changes from now on is missing in it."""
        stream = EventStream()
        self._streams.add(stream)
        return stream

    async def begin(self, stream: EventStream, since: int, *, resumes: bool) -> tuple[Look, bytes]:
        """Return what a stream begins with: the present state, and if it resumes, the actions since a time."""
        look = await self._look(since)
        events = await self._events(look.batches, look.actions if resumes else (), known={})
        if self._looking is None or self._looking.done():
            self._remember(look)
            self._looking = asyncio.create_task(self._run(), name="events")
        if self._is_over(look):
            stream.add(None)
        return look, _piece(events, look.at)

    def remove(self, stream: EventStream) -> None:
        """Remove a stream."""
        self._streams.discard(stream)
        if not self._streams and self._looking is not None:
            self._looking.cancel()

    def end(self) -> None:
        """End all streams."""
        for stream in self._streams:
            stream.add(None)

    async def _run(self) -> None:
        """Look until there are no streams; when that fails, they end, and their clients connect again."""
        try:
            while True:
                await asyncio.sleep(INTERVAL * max(1.0, len(self._streams) / STREAMS_A_SECOND))
                look = await self._look(self._since)
                await self._publish(look)
                if self._is_over(look):
                    return
        except (StoreError, RefusedError) as error:  # the batch may have been deleted
            logger.info("event streams end: %s", error, extra={"action": "event_streams_ended"})
        except Exception:
            logger.exception("event streams end because of an internal error", extra={"action": "event_streams_ended"})
        finally:
            self.end()

    async def _publish(self, look: Look) -> None:
        changed = [batch for batch in look.batches if self._known.get(batch.id) != self._now(batch)]
        actions = [action for action in look.actions if action not in self._actions]
        events = await self._events(changed, actions, known=self._known)
        self._remember(look)
        if events:
            piece = _piece(events, look.at)
            for stream in self._streams:
                stream.add(piece)

    def _remember(self, look: Look) -> None:
        self._known = {batch.id: self._now(batch) for batch in look.batches}
        self._actions = frozenset(look.actions)
        self._since = look.at

    def _now(self, batch: Batch) -> Known:
        return batch, self._summaries.pause(batch)

    def _is_over(self, look: Look) -> bool:
        return self._ends_with_batch and all(batch.ended_at is not None for batch in look.batches)

    async def _events(
        self, batches: Sequence[Batch], actions: Sequence[tuple[str, TimelineEntry]], *, known: Mapping[str, Known]
    ) -> list[bytes]:
        """Return actions and summaries as events; the end of a batch is the last event of it."""
        events = [_event("action", _action(batch_id, entry)) for batch_id, entry in actions]
        for batch, summary in zip(batches, await self._summaries.of(batches), strict=True):
            before = known.get(batch.id)
            is_new = before is None or before[0].status != batch.status
            events.append(_event("status" if is_new else "progress", summary))
        return events


def _action(batch_id: str, entry: TimelineEntry) -> gateway.BatchEventAction:
    return gateway.BatchEventAction(
        id=batch_id, at=rfc3339(entry.at), action=entry.action, by=entry.by or None, detail=entry.detail
    )


def _event(name: str, data: msgspec.Struct) -> bytes:
    return b"event: %s\ndata: %s\n" % (name.encode(), msgspec.json.encode(data))


def _piece(events: Sequence[bytes], at: int) -> bytes:
    """Return events of one look; the last one has the id, since a client that has it has all of them."""
    return b"%sid: %d\n\n" % (b"\n".join(events), at)
