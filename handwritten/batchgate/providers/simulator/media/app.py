"""Mounts the simulated APIs of Replicate, Runway and ElevenLabs below paths of their names.

``GET /simulator/media`` returns the `MediaJournal`, ``PUT /simulator/media`` replaces the `MediaSettings`.
"""

from __future__ import annotations

import msgspec
from aiohttp import web

from batchgate.providers.simulator.media.elevenlabs import SimulatedElevenLabs
from batchgate.providers.simulator.media.replicate import SimulatedReplicate
from batchgate.providers.simulator.media.runway import SimulatedRunway
from batchgate.providers.simulator.media.tasks import MediaJournal, MediaSettings
from batchgate.providers.simulator.media.world import MediaWorld


def add_media_apis(app: web.Application, require_key: str | None = None) -> None:
    """Add the routes of the three APIs and of their control path."""
    world = MediaWorld(require_key)
    for api in (SimulatedReplicate(world), SimulatedRunway(world), SimulatedElevenLabs(world)):
        app.add_routes(api.routes())

    async def journal(_request: web.Request) -> web.Response:
        found = MediaJournal(list(world.tasks.values()), world.audio_calls)
        return web.Response(body=msgspec.json.encode(found), content_type="application/json")

    async def configure(request: web.Request) -> web.Response:
        try:
            world.settings = msgspec.json.decode(await request.read(), type=MediaSettings)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.Response(status=204)

    app.add_routes([web.get("/simulator/media", journal), web.put("/simulator/media", configure)])
