"""A client of server-sent events, as the WHATWG HTML standard has them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
from msgspec import Struct

from tests.support.running_app import RunningApp


class Event(Struct, frozen=True):
    """One event."""

    name: str
    data: dict[str, Any]


class EventClient:
    """Reads the events of a response."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.last_id: str | None = None
        """What the client sends as Last-Event-ID when it connects again."""
        self.commented = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Yield the events until the stream ends."""
        fields: dict[str, str] = {}
        while line := await self.response.content.readline():
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if line == b"\n":
                self.last_id = fields.pop("id", self.last_id)
                if "data" in fields:
                    yield Event(fields["event"], msgspec.json.decode(fields["data"]))
                fields = {}
            elif line.startswith(b":"):
                self.commented.set()
            else:
                fields[name] = value

    async def until(self, name: str, **data: object) -> Event:
        """Return the next event with a name and these data."""
        async for event in self:
            if event.name == name and all(event.data[key] == value for key, value in data.items()):
                return event
        raise AssertionError(f"the stream has ended without {name} {data}")

    async def rest(self) -> list[Event]:
        """Return all further events."""
        return [event async for event in self]


@asynccontextmanager
async def events_of(
    app: RunningApp, path: str, last_id: str | None = None, **options: Any
) -> AsyncIterator[EventClient]:
    """Connect to a stream of events."""
    headers = options.pop("headers", {}) | ({} if last_id is None else {"Last-Event-ID": last_id})
    async with app.client.get(app.url + path, headers=headers, **options) as response:
        assert response.status == 200, await response.text()
        assert response.headers["Content-Type"] == "text/event-stream"
        yield EventClient(response)
