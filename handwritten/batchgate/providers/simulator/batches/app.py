"""Mounts the simulated batch APIs on the simulator's application: each provider below a path of its own name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Final, TypeAlias

from aiohttp import web
from msgspec import Struct

from batchgate.engine.model.clock import SystemClock, TimeSource
from batchgate.providers.simulator.batches.anthropic_batches import ANTHROPIC, AnthropicBatches
from batchgate.providers.simulator.batches.anthropic_objects import anthropic_error
from batchgate.providers.simulator.batches.calls import BatchCall, Handler, guarded
from batchgate.providers.simulator.batches.clock import SimulatedClock
from batchgate.providers.simulator.batches.control import BatchControl
from batchgate.providers.simulator.batches.faults import NO_FAULTS, BatchFaults, FaultSwitch
from batchgate.providers.simulator.batches.openai_batches import OpenAIBatches
from batchgate.providers.simulator.batches.openai_errors import invalid, openai_error
from batchgate.providers.simulator.batches.openai_files import OpenAIFiles
from batchgate.providers.simulator.batches.openai_providers import OPENAI_PROVIDERS, OpenAIProvider
from batchgate.providers.simulator.batches.row_model import RowModel
from batchgate.providers.simulator.batches.settings import BatchSettings
from batchgate.providers.simulator.batches.world import BatchWorld
from batchgate.providers.simulator.simulator import Simulator

PROVIDERS: Final = (ANTHROPIC, *(provider.name for provider in OPENAI_PROVIDERS))
"""The providers whose batch APIs are simulated."""

Route: TypeAlias = tuple[str, str, Handler]
"""Method, path below the base, handler."""


class SimulatedBatches(Struct, frozen=True, kw_only=True):
    """How the batch APIs of a simulator start."""

    settings: BatchSettings = BatchSettings()
    faults: BatchFaults = NO_FAULTS
    speed: float = 1.0
    """How many times as fast as real time their clock runs."""
    time_source: TimeSource = SystemClock()


def add_batch_apis(app: web.Application, options: SimulatedBatches, simulator: Callable[[], Simulator]) -> None:
    """Add the routes of all batch APIs and of their control paths; the files live as long as the application."""
    clock = SimulatedClock(options.time_source, options.speed)
    world = BatchWorld(clock, RowModel(simulator), options.settings, FaultSwitch(options.faults))
    for provider in OPENAI_PROVIDERS:
        app.add_routes(_openai_routes(world, provider))
    app.add_routes(_anthropic_routes(world))
    app.add_routes(BatchControl(world).routes())

    async def close_after(_app: web.Application) -> AsyncIterator[None]:
        yield
        world.close()

    app.cleanup_ctx.append(close_after)


def _openai_routes(world: BatchWorld, provider: OpenAIProvider) -> list[web.RouteDef]:
    files = OpenAIFiles(world, provider)
    batches = OpenAIBatches(world, provider, files)
    routes: list[Route] = [
        ("POST", "/files", files.upload),
        ("GET", "/files", files.page),
        ("GET", "/files/{file_id}", files.retrieve),
        ("DELETE", "/files/{file_id}", files.delete),
        ("GET", "/files/{file_id}/content", files.content),
        ("POST", "/batches", batches.create),
        ("GET", "/batches", batches.page),
        ("GET", "/batches/{batch_id}", batches.retrieve),
        ("DELETE", "/batches/{batch_id}", batches.delete),
        ("POST", "/batches/{batch_id}/cancel", batches.cancel),
    ]
    storage = web.get(f"/{provider.name}/storage/{{token}}", files.stored_content)
    return [storage, *(_openai_route(world, provider, base, route) for base in provider.bases for route in routes)]


def _openai_route(world: BatchWorld, provider: OpenAIProvider, base: str, route: Route) -> web.RouteDef:
    method, path, handler = route
    if provider.api_version and not base.endswith("/v1"):
        handler = partial(_with_api_version, handler)
    door = guarded(world, provider.name, handler, lambda refusal, _: openai_error(provider, refusal))
    return web.route(method, f"/{provider.name}{base}{path}", door)


async def _with_api_version(handler: Handler, call: BatchCall) -> web.StreamResponse:
    """Refuse a call of Azure's classic paths that names no version (native-lanes 2.2)."""
    if "api-version" not in call.request.query:
        raise invalid("Missing required query parameter: api-version", status=404)
    return await handler(call)


def _anthropic_routes(world: BatchWorld) -> list[web.RouteDef]:
    batches = AnthropicBatches(world)
    routes: list[Route] = [
        ("POST", "", batches.create),
        ("GET", "", batches.page),
        ("GET", "/{batch_id}", batches.retrieve),
        ("DELETE", "/{batch_id}", batches.delete),
        ("POST", "/{batch_id}/cancel", batches.cancel),
        ("GET", "/{batch_id}/results", batches.results),
    ]
    return [
        web.route(
            method, f"/{ANTHROPIC}/v1/messages/batches{path}", guarded(world, ANTHROPIC, handler, anthropic_error)
        )
        for method, path, handler in routes
    ]
