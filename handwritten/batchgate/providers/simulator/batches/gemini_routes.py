"""The routes of the simulated Gemini, in every version of its API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from batchgate.engine.model.errors import RefusedError
from batchgate.providers.simulator.batches.calls import Handler, guarded
from batchgate.providers.simulator.batches.gemini_batches import METHODS, GeminiBatches
from batchgate.providers.simulator.batches.gemini_files import GeminiFiles
from batchgate.providers.simulator.batches.gemini_objects import GEMINI
from batchgate.providers.simulator.batches.world import BatchWorld
from batchgate.providers.simulator.gemini_dialects import rpc_error

_VERSION: Final = "{version:v1(?:beta|alpha)?}"


def gemini_routes(world: BatchWorld) -> list[web.RouteDef]:
    """Return all routes, the more specific ones first."""
    files = GeminiFiles(world)
    batches = GeminiBatches(world, files)
    base = f"/{GEMINI}/{_VERSION}"
    methods = "|".join(METHODS)
    routes: list[tuple[str, str, Handler]] = [
        ("POST", f"{base}/models/{{model:.+}}:{{method:{methods}}}", batches.create),
        ("GET", f"{base}/batches", batches.page),
        ("POST", f"{base}/batches/{{name:[^/:]+}}:cancel", batches.cancel),
        ("GET", f"{base}/batches/{{name}}", batches.retrieve),
        ("DELETE", f"{base}/batches/{{name}}", batches.delete),
        ("GET", f"{base}/files", files.page),
        ("GET", f"{base}/files/{{name:[^/:]+}}:download", files.download),
        ("GET", f"/{GEMINI}/download/{_VERSION}/files/{{name:[^/:]+}}:download", files.download),
        ("GET", f"{base}/files/{{name}}", files.retrieve),
        ("DELETE", f"{base}/files/{{name}}", files.delete),
    ]
    guarded_routes = [web.route(method, path, _guarded(world, handler)) for method, path, handler in routes]
    start = _guarded(world, files.start)

    async def upload(request: web.Request) -> web.StreamResponse:
        return await (files.receive(request) if "upload_id" in request.query else start(request))

    return [web.post(f"/{GEMINI}/upload/{_VERSION}/files", upload), *guarded_routes]


def _guarded(world: BatchWorld, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    return guarded(world, GEMINI, handler, _error)


def _error(refusal: RefusedError, _request_id: str) -> web.Response:
    status, body = rpc_error(refusal)
    return web.Response(status=status, body=body, content_type="application/json")
