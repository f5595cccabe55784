"""The simulated API of Runway: tasks (more-dialects 3.6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from batchgate.engine.model.batch_endpoint import own_endpoints
from batchgate.providers.simulator.media.tasks import SimulatedTask, TaskStatus
from batchgate.providers.simulator.media.world import MediaWorld, json_body

BASE: Final = "/runway"
VERSION: Final = "2024-11-06"
_STATUSES: Final[Mapping[TaskStatus, str]] = {
    "waiting": "PENDING",
    "running": "RUNNING",
    "succeeded": "SUCCEEDED",
    "failed": "FAILED",
    "canceled": "CANCELLED",
}


class SimulatedRunway:
    """Creates, shows and cancels tasks."""

    def __init__(self, world: MediaWorld) -> None:
        self._world = world

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            *(web.post(BASE + path, self.create) for path in own_endpoints("runway")),
            web.get(f"{BASE}/v1/tasks/{{id}}", self.retrieve),
            web.delete(f"{BASE}/v1/tasks/{{id}}", self.cancel),
        ]

    async def create(self, request: web.Request) -> web.Response:
        """Create a task, unless the call is refused."""
        body = await json_body(request)
        if refusal := self._refusal(request):
            return refusal
        if body is None or not isinstance(body.get("model"), str):
            return web.json_response({"error": "Validation of body failed", "issues": []}, status=400)
        if self._world.refuses():
            return web.json_response({"error": "You have exceeded the rate limit."}, status=429)
        task = await self._world.create(request, "runway", str(body["model"]), body)
        return web.json_response({"id": task.id, "estimatedCost": {"credits": 25}})

    async def retrieve(self, request: web.Request) -> web.Response:
        """Show a task, which goes on with each call."""
        if refusal := self._refusal(request):
            return refusal
        task = self._world.tasks.get(request.match_info["id"])
        if task is None:
            return web.json_response({"error": "The task was not found"}, status=404)
        task.poll()
        return web.json_response(_shown(task))

    async def cancel(self, request: web.Request) -> web.Response:
        """Cancel a running task; one that has ended is deleted, with its output."""
        if refusal := self._refusal(request):
            return refusal
        task = self._world.tasks.get(request.match_info["id"])
        if task is not None and task.has_ended:
            del self._world.tasks[task.id]
        elif task is not None:
            task.cancel()
        return web.Response(status=204)

    def _refusal(self, request: web.Request) -> web.Response | None:
        if request.headers.get("x-runway-version") != VERSION:
            return web.json_response({"error": "The X-Runway-Version header is required"}, status=400)
        if not self._world.accepts(request.headers.get("authorization", "").removeprefix("Bearer ")):
            return web.json_response({"error": "You did not provide an API key."}, status=401)
        return None


def _shown(task: SimulatedTask) -> dict[str, object]:
    shown: dict[str, object] = {
        "id": task.id,
        "status": _STATUSES[task.status],
        "createdAt": "2026-11-29T12:00:00.000Z",
    }
    match task.status:
        case "running":
            shown |= {"progress": 0.5, "estimatedCost": {"credits": 25}}
        case "waiting":
            shown |= {"estimatedCost": {"credits": 25}}
        case "succeeded":
            shown |= {"output": [f"{task.output_base}/{task.id}.mp4"], "cost": {"credits": 25}}
        case "failed":
            shown |= {"failure": "The input was rejected", "failureCode": "SAFETY.INPUT.TEXT", "cost": {"credits": 0}}
        case "canceled":
            shown |= {"cost": {"credits": 0}}
    return shown
