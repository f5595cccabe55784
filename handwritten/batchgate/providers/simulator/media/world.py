"""What the simulated APIs share: the tasks, the settings and the key."""

from __future__ import annotations

import msgspec
from aiohttp import web

from batchgate.providers.simulator.media.tasks import MediaSettings, SimulatedTask


class MediaWorld:
    """The state of the three simulated APIs."""

    def __init__(self, require_key: str | None = None) -> None:
        self.settings = MediaSettings()
        self.tasks: dict[str, SimulatedTask] = {}
        self.audio_calls = 0
        self._require_key = require_key

    def accepts(self, key: str | None) -> bool:
        """Return whether a call has the key."""
        return bool(key) if self._require_key is None else key == self._require_key

    def refuses(self) -> bool:
        """Return whether this call is refused for load, and count it."""
        if self.settings.refuse <= 0:
            return False
        self.settings = msgspec.structs.replace(self.settings, refuse=self.settings.refuse - 1)
        return True

    async def create(self, request: web.Request, provider: str, model: str, body: dict[str, object]) -> SimulatedTask:
        """Create a task for a request."""
        given = body.get("input", body)
        task = SimulatedTask(
            id=f"{provider}-{len(self.tasks) + 1}",
            provider=provider,
            path=request.path,
            model=model,
            input=given if isinstance(given, dict) else {},
            text=msgspec.json.encode(body).decode(),
            polls_left=self.settings.polls,
            output_base=self.settings.output_base,
        )
        self.tasks[task.id] = task
        return task


async def json_body(request: web.Request) -> dict[str, object] | None:
    """Return the object in a body; None for anything else."""
    try:
        body: object = msgspec.json.decode(await request.read())
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return body if isinstance(body, dict) else None
