"""The simulated API of Replicate: predictions (more-dialects 3.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from batchgate.providers.simulator.media.tasks import SimulatedTask, TaskStatus
from batchgate.providers.simulator.media.world import MediaWorld, json_body

BASE: Final = "/replicate/v1"
_STATUSES: Final[Mapping[TaskStatus, str]] = {
    "waiting": "starting",
    "running": "processing",
    "succeeded": "succeeded",
    "failed": "failed",
    "canceled": "canceled",
}


class SimulatedReplicate:
    """Creates, shows and cancels predictions."""

    def __init__(self, world: MediaWorld) -> None:
        self._world = world

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.post(f"{BASE}/predictions", self.create),
            web.post(f"{BASE}/models/{{owner}}/{{name}}/predictions", self.create),
            web.post(f"{BASE}/deployments/{{owner}}/{{name}}/predictions", self.create),
            web.get(f"{BASE}/predictions/{{id}}", self.retrieve),
            web.post(f"{BASE}/predictions/{{id}}/cancel", self.cancel),
        ]

    async def create(self, request: web.Request) -> web.Response:
        """Create a prediction; it starts, unless the call is refused."""
        body = await json_body(request)
        if not self._is_authorized(request):
            return _problem(401, "Unauthenticated", "You did not pass a valid authentication token")
        if body is None or not isinstance(body.get("input"), dict):
            return _problem(422, "Input validation failed", "- input is required")
        if self._world.refuses():
            return web.json_response(
                {"detail": "Request was throttled. Your rate limit resets in ~1s.", "status": 429}, status=429
            )
        owner = request.match_info.get("owner")
        model = str(body.get("version")) if owner is None else f"{owner}/{request.match_info['name']}"
        task = await self._world.create(request, "replicate", model, body)
        return web.json_response(_prediction(task), status=201)

    async def retrieve(self, request: web.Request) -> web.Response:
        """Show a prediction, which goes on with each call."""
        task = self._world.tasks.get(request.match_info["id"])
        if not self._is_authorized(request) or task is None:
            return _problem(404, "Not found", "The requested resource could not be found.")
        task.poll()
        return web.json_response(_prediction(task))

    async def cancel(self, request: web.Request) -> web.Response:
        """Cancel a prediction."""
        task = self._world.tasks.get(request.match_info["id"])
        if not self._is_authorized(request) or task is None:
            return _problem(404, "Not found", "The requested resource could not be found.")
        task.cancel()
        return web.json_response(_prediction(task))

    def _is_authorized(self, request: web.Request) -> bool:
        return self._world.accepts(request.headers.get("authorization", "").removeprefix("Bearer "))


def _prediction(task: SimulatedTask) -> dict[str, object]:
    prompt = str(task.input.get("prompt", ""))
    urls = {"get": f"https://api.replicate.com/v1/predictions/{task.id}"}
    succeeded = task.status == "succeeded"
    return {
        "id": task.id,
        "model": task.model,
        "version": "hidden",
        "status": _STATUSES[task.status],
        "input": task.input,
        "output": ["You said: ", prompt] if succeeded else None,
        "error": "the model failed" if task.status == "failed" else None,
        "logs": "",
        "metrics": {"predict_time": 1.5, "input_token_count": 3, "output_token_count": 5} if succeeded else {},
        "created_at": "2026-11-29T12:00:00.000Z",
        "urls": {**urls, "cancel": f"{urls['get']}/cancel"},
    }


def _problem(status: int, title: str, detail: str) -> web.Response:
    return web.json_response({"title": title, "detail": detail, "status": status}, status=status)
