"""The simulated model as a stand-alone HTTP server, for tests, demos and benchmarks.

Control paths: ``GET /stats`` returns statistics of the calls, ``POST /stats/reset`` resets them and the attempts, and
``PUT /settings`` replaces the settings (missing ones get their defaults).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Final

import msgspec
from aiohttp import web
from msgspec import Struct

from batchgate.providers.simulator.access_tokens import grant
from batchgate.providers.simulator.batches.app import SimulatedBatches, add_batch_apis
from batchgate.providers.simulator.media.app import add_media_apis
from batchgate.providers.simulator.simulator import SimulatedCall, Simulator, SimulatorSettings, body_key

_LARGEST_BODY: Final = 64 * 1024 * 1024


class SimulatorStats(Struct, frozen=True, kw_only=True):
    """Statistics of the calls since the start or the last reset."""

    calls: int
    in_flight: int
    max_in_flight: int
    answered: dict[str, int]
    """Answers by HTTP status."""
    distinct_bodies: int
    calls_by_body: dict[str, int]
    """Calls by the hexadecimal `body_key` of their body; a value over 1 means that the call was repeated."""


def build_simulator_app(
    settings: SimulatorSettings | None = None, batches: SimulatedBatches | None = None
) -> web.Application:
    """Make the server's application, with its own model and statistics, and batch APIs if they are asked for."""
    server = _SimulatorServer(Simulator(settings))
    app = web.Application(client_max_size=_LARGEST_BODY)
    if batches is not None:
        add_batch_apis(app, batches, server.simulator)  # before the path that answers everything
    add_media_apis(app, server.simulator().settings.require_key)
    app.add_routes(
        [
            web.post("/v1/messages", server.answer),
            web.post("/v1/chat/completions", server.answer),
            web.post("/v1/responses", server.answer),
            web.post("/v1/embeddings", server.answer),
            web.post("/v1/completions", server.answer),
            web.post("/token", server.grant),
            web.get("/stats", server.stats),
            web.post("/stats/reset", server.reset),
            web.put("/settings", server.replace_settings),
            web.post("/{path:.*}", server.answer),
        ]
    )
    return app


class _SimulatorServer:
    """The HTTP handlers, with the statistics and attempts of earlier calls."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._in_flight = 0
        self._max_in_flight = 0
        self._answered: Counter[int] = Counter()
        self._calls_by_body: Counter[bytes] = Counter()

    def simulator(self) -> Simulator:
        """Return the simulated model with its current settings."""
        return self._simulator

    async def answer(self, request: web.Request) -> web.Response:
        """Answer a call to the model."""
        body = await request.read()
        key = body_key(body)
        attempt = self._calls_by_body[key]
        self._calls_by_body[key] = attempt + 1
        self._in_flight += 1
        self._max_in_flight = max(self._max_in_flight, self._in_flight)
        try:
            reply = self._simulator.reply(
                SimulatedCall(
                    path=request.rel_url.raw_path,
                    headers=request.headers,
                    body=body,
                    key=key,
                    attempt=attempt,
                    in_flight=self._in_flight,
                )
            )
            if reply.delay:
                await asyncio.sleep(reply.delay)
        finally:
            self._in_flight -= 1
        response = reply.response
        self._answered[response.status] += 1
        return web.Response(status=response.status, headers=response.headers, body=response.body)

    async def grant(self, request: web.Request) -> web.Response:
        """Give an access token for an assertion, as the token endpoint of Google does."""
        form = {name: str(value) for name, value in (await request.post()).items()}
        return _json(*grant(form, self._simulator.settings.require_key))

    async def stats(self, _request: web.Request) -> web.Response:
        """Return the statistics."""
        report = SimulatorStats(
            calls=self._calls_by_body.total(),
            in_flight=self._in_flight,
            max_in_flight=self._max_in_flight,
            answered={str(status): count for status, count in sorted(self._answered.items())},
            distinct_bodies=len(self._calls_by_body),
            calls_by_body={key.hex(): count for key, count in self._calls_by_body.items()},
        )
        return _json(200, msgspec.json.encode(report))

    async def reset(self, _request: web.Request) -> web.Response:
        """Reset the statistics, except for calls in flight."""
        self._max_in_flight = self._in_flight
        self._answered.clear()
        self._calls_by_body.clear()
        return web.Response(status=204)

    async def replace_settings(self, request: web.Request) -> web.Response:
        """Replace the settings from the next call on."""
        try:
            settings = msgspec.json.decode(await request.read(), type=SimulatorSettings)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return _json(400, msgspec.json.encode({"error": str(error)}))
        self._simulator = Simulator(settings)
        return web.Response(status=204)


def _json(status: int, body: bytes) -> web.Response:
    return web.Response(status=status, body=body, content_type="application/json")
