"""Reads the events of batches, across connections, and through a restart of the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Final

import msgspec
from msgspec import Struct

from batchgate.cli.failures import CallFailed, GatewayRefused
from batchgate.cli.gateway_client import GatewayClient
from batchgate.cli.waiting import LONGEST_PAUSE, MAX_OUTAGE
from batchgate_api.gateway import BatchEventAction, BatchSummary

MOST_BYTES: Final = 1024 * 1024
"""The longest line; those of a gateway have some kilobytes."""


class BatchEvent(Struct, frozen=True):
    """One event: its name, and the batch as it is then or what was done to it."""

    event: str
    data: BatchSummary | BatchEventAction


class EventReader:
    """Takes pieces of a stream as a gateway writes it, and yields the events that are complete."""

    def __init__(self) -> None:
        self.last_id: str | None = None
        """What the next connection sends, to go on where this one broke off."""
        self._pending = b""
        self._fields: dict[str, str] = {}

    def disconnected(self) -> None:
        """Forget what is not complete; it comes again."""
        self._pending, self._fields = b"", {}

    def feed(self, piece: bytes) -> Iterator[BatchEvent]:
        """Take a piece of any size."""
        *ended, self._pending = (self._pending + piece).split(b"\n")
        if len(self._pending) > MOST_BYTES:
            raise _not_events(f"a line has more than {MOST_BYTES} bytes")
        for line in ended:
            name, _, value = line.decode(errors="replace").partition(": ")
            if name:
                self._fields[name] = value
                continue
            self.last_id = self._fields.get("id", self.last_id)
            if "data" in self._fields:
                yield _event(self._fields.get("event", ""), self._fields["data"])
            self._fields = {}


async def follow(client: GatewayClient, batch_id: str | None) -> AsyncGenerator[BatchEvent, None]:
    """Yield the events of a batch, or of all batches, without an end; raises `CallFailed` as `wait_until_ended` does.

    After a broken connection, or when the gateway has ended it, it connects again. Some events may come twice.
    """
    loop = asyncio.get_running_loop()
    reader = EventReader()
    deadline: float | None = loop.time()  # the first connection must succeed
    while True:
        try:
            async with aclosing(client.events(batch_id, reader.last_id)) as pieces:
                async for piece in pieces:
                    deadline = None
                    for event in reader.feed(piece):
                        yield event
        except CallFailed as error:
            deadline = loop.time() + MAX_OUTAGE if deadline is None else deadline
            if not error.retry_safe or loop.time() > deadline:
                raise
        reader.disconnected()
        await asyncio.sleep(LONGEST_PAUSE)


def _event(name: str, data: str) -> BatchEvent:
    kinds: dict[str, type[BatchSummary | BatchEventAction]] = {
        "status": BatchSummary,
        "progress": BatchSummary,
        "action": BatchEventAction,
    }
    if name not in kinds:
        raise _not_events(f"{name[:40]!r} is not known")
    try:
        return BatchEvent(name, msgspec.json.decode(data, type=kinds[name]))
    except msgspec.DecodeError as error:
        raise _not_events(str(error)) from error


def _not_events(reason: str) -> GatewayRefused:
    return GatewayRefused(f"The events are not those of a Batchgate gateway of this version: {reason}", status=200)
