"""A provider in the process of the test that answers when the test allows it, and counts the calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from batchgate.account_settings import AccountSettings
from tests.support.http_server import http_server

ANSWER = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [{"type": "text", "text": "Hi"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 1, "output_tokens": 1},
}


@dataclass
class HeldProvider:
    """The calls that the provider has got, and the gate that holds their answers back."""

    url: str = ""
    models: list[str] = field(default_factory=list)
    """The model of each call, in the order of the calls."""
    answering: asyncio.Event = field(default_factory=asyncio.Event)
    _called: asyncio.Event = field(default_factory=asyncio.Event)
    _single: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    @property
    def calls(self) -> int:
        """The number of calls."""
        return len(self.models)

    def account(self, concurrency: int) -> AccountSettings:
        """Return the settings of an account with this provider."""
        return AccountSettings(provider="anthropic", base_url=self.url, api_key="k", concurrency=concurrency)

    async def until_called(self, calls: int) -> None:
        """Wait until so many calls have come."""
        while self.calls < calls:
            self._called.clear()
            await self._called.wait()

    def answer_one(self) -> None:
        """Answer one of the calls that are held back."""
        self._single.release()

    async def _until_answered(self) -> None:
        waits = [asyncio.create_task(self.answering.wait()), asyncio.create_task(self._single.acquire())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one call when the gate is open."""
        self.models.append((await request.json())["model"])
        self._called.set()
        await self._until_answered()
        return web.json_response(ANSWER)


@asynccontextmanager
async def held_provider() -> AsyncIterator[HeldProvider]:
    """Serve the provider while the context is entered."""
    provider = HeldProvider()
    async with http_server(provider.answer) as url:
        provider.url = url
        try:
            yield provider
        finally:
            provider.answering.set()
