"""A receiver of events, which answers as a test tells it to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from aiohttp import web

from tests.support.http_server import serving

PATH: Final = "/hook"


@dataclass(frozen=True)
class ReceivedEvent:
    """One call that arrived."""

    headers: dict[str, str]
    body: bytes
    accepted: bool

    @property
    def event_id(self) -> str:
        """The id of the event."""
        return self.headers["webhook-id"]

    @property
    def content(self) -> dict[str, Any]:
        """The decoded body."""
        content: dict[str, Any] = msgspec.json.decode(self.body)
        return content

    @property
    def type(self) -> str:
        """The type of the event."""
        type_: str = self.content["type"]
        return type_

    @property
    def batch_id(self) -> str:
        """The batch that the event is about."""
        batch_id: str = self.content["data"]["id"]
        return batch_id


@dataclass
class WebhookReceiver:
    """What has arrived, and the answer to what comes next."""

    url: str = ""
    answer: Callable[[], web.Response] = web.Response
    holds: bool = False
    """Whether calls are not answered."""
    events: list[ReceivedEvent] = field(default_factory=list)
    _closing: asyncio.Event = field(default_factory=asyncio.Event)
    _arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def handle(self, request: web.Request) -> web.Response:
        """Record a call and answer it."""
        response = self.answer()
        headers = {name.lower(): value for name, value in request.headers.items()}
        accepted = response.status < 300 and not self.holds
        async with self._arrived:
            self.events.append(ReceivedEvent(headers, await request.read(), accepted))
            self._arrived.notify_all()
        if self.holds:
            await self._closing.wait()
        return response

    async def until(self, number: int, *, accepted: bool = True) -> list[ReceivedEvent]:
        """Wait until so many calls were accepted, or have arrived, and return them."""
        async with asyncio.timeout(120), self._arrived:
            await self._arrived.wait_for(lambda: len(self._of(accepted=accepted)) >= number)
        return self._of(accepted=accepted)

    def close(self) -> None:
        """Answer the calls that are held."""
        self._closing.set()

    def _of(self, *, accepted: bool) -> list[ReceivedEvent]:
        return [event for event in self.events if event.accepted or not accepted]


@asynccontextmanager
async def webhook_receiver() -> AsyncIterator[WebhookReceiver]:
    """Run a receiver on a free port of this machine."""
    receiver = WebhookReceiver()
    app = web.Application()
    app.router.add_post(PATH, receiver.handle)
    app.router.add_post("/elsewhere", receiver.handle)
    async with serving(app) as url:
        receiver.url = url + PATH
        try:
            yield receiver
        finally:
            receiver.close()
