"""The simulated API of ElevenLabs: audio, and JSON with timestamps (more-dialects 3.5)."""

from __future__ import annotations

import base64
from typing import Final

from aiohttp import web

from batchgate.providers.simulator.media.world import MediaWorld, json_body

BASE: Final = "/elevenlabs/v1"
_PIECE: Final = 64 * 1024
_TYPES: Final = {"mp3": "audio/mpeg", "pcm": "audio/pcm", "wav": "audio/wav", "opus": "audio/opus"}


class SimulatedElevenLabs:
    """Answers with audio whose bytes repeat the request."""

    def __init__(self, world: MediaWorld) -> None:
        self._world = world

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.post(f"{BASE}/text-to-speech/{{voice}}", self.audio),
            web.post(f"{BASE}/text-to-speech/{{voice}}/with-timestamps", self.timestamps),
            web.post(f"{BASE}/text-to-dialogue", self.audio),
            web.post(f"{BASE}/text-to-dialogue/with-timestamps", self.timestamps),
            web.post(f"{BASE}/sound-generation", self.audio),
            web.post(f"{BASE}/music", self.audio),
        ]

    async def audio(self, request: web.Request) -> web.StreamResponse:
        """Answer with audio, in pieces."""
        body = await json_body(request)
        if refusal := self._refusal(request, body):
            return refusal
        self._world.audio_calls += 1
        codec = request.query.get("output_format", "mp3_44100_128").partition("_")[0]
        response = web.StreamResponse(headers={"content-type": _TYPES[codec], "character-cost": "11"})
        await response.prepare(request)
        content, left = _audio(body), self._world.settings.audio_bytes
        while left > 0:
            await response.write((content * (_PIECE // len(content) + 1))[: min(left, _PIECE)])
            left -= _PIECE
        return response

    async def timestamps(self, request: web.Request) -> web.Response:
        """Answer with JSON that has the audio in it."""
        body = await json_body(request)
        if refusal := self._refusal(request, body):
            return refusal
        self._world.audio_calls += 1
        alignment = {
            "characters": ["H"],
            "character_start_times_seconds": [0.0],
            "character_end_times_seconds": [0.1],
        }
        return web.json_response(
            {
                "audio_base64": base64.b64encode(_audio(body)).decode(),
                "alignment": alignment,
                "normalized_alignment": alignment,
            }
        )

    def _refusal(self, request: web.Request, body: dict[str, object] | None) -> web.Response | None:
        if not self._world.accepts(request.headers.get("xi-api-key")):
            return _problem(401, "invalid_api_key", "Invalid API key")
        if not body or not ({"text", "inputs", "prompt"} & body.keys()):
            detail = [{"loc": ["body", "text"], "msg": "Field required", "type": "missing"}]
            return web.json_response({"detail": detail}, status=422)
        if self._world.refuses():
            message = "Too many concurrent requests. Your current subscription is associated with a maximum of 2"
            return _problem(429, "too_many_concurrent_requests", message)
        return None


def _audio(body: dict[str, object] | None) -> bytes:
    return b"audio of " + str((body or {}).get("text")).encode() + b"\n"


def _problem(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"detail": {"status": code, "message": message}}, status=status)
