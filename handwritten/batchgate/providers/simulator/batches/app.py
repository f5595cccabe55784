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
from batchgate.providers.simulator.batches.bedrock_batches import BEDROCK, BedrockBatches, bedrock_error
from batchgate.providers.simulator.batches.calls import BatchCall, ErrorWriter, Handler, guarded
from batchgate.providers.simulator.batches.clock import SimulatedClock
from batchgate.providers.simulator.batches.cohere_batches import CohereBatches
from batchgate.providers.simulator.batches.cohere_datasets import COHERE, CohereDatasets, cohere_error
from batchgate.providers.simulator.batches.control import BatchControl
from batchgate.providers.simulator.batches.faults import NO_FAULTS, BatchFaults, FaultSwitch
from batchgate.providers.simulator.batches.fireworks_datasets import (
    FIREWORKS,
    FireworksDatasets,
    fireworks_error,
    of_account,
)
from batchgate.providers.simulator.batches.fireworks_jobs import FireworksJobs
from batchgate.providers.simulator.batches.gemini_objects import GEMINI
from batchgate.providers.simulator.batches.gemini_routes import gemini_routes
from batchgate.providers.simulator.batches.mistral_batches import MistralBatches
from batchgate.providers.simulator.batches.mistral_files import MISTRAL, MistralFiles, mistral_error
from batchgate.providers.simulator.batches.object_storage import ObjectStorage
from batchgate.providers.simulator.batches.openai_batches import OpenAIBatches
from batchgate.providers.simulator.batches.openai_errors import invalid, openai_error
from batchgate.providers.simulator.batches.openai_files import OpenAIFiles
from batchgate.providers.simulator.batches.openai_providers import OPENAI_PROVIDERS, OpenAIProvider
from batchgate.providers.simulator.batches.openrouter_batches import (
    OPENROUTER,
    OpenRouterBatches,
    openrouter_error,
)
from batchgate.providers.simulator.batches.row_model import RowModel
from batchgate.providers.simulator.batches.settings import BatchSettings
from batchgate.providers.simulator.batches.together_batches import TogetherBatches, together_error
from batchgate.providers.simulator.batches.together_files import TOGETHER, TogetherFiles
from batchgate.providers.simulator.batches.vertex_batches import VERTEX, vertex_routes
from batchgate.providers.simulator.batches.world import BatchWorld
from batchgate.providers.simulator.batches.xai_batches import XAIBatches, xai_error
from batchgate.providers.simulator.batches.xai_files import XAI, XAIFiles
from batchgate.providers.simulator.simulator import Simulator

PROVIDERS: Final = (
    ANTHROPIC,
    *(provider.name for provider in OPENAI_PROVIDERS),
    BEDROCK,
    MISTRAL,
    TOGETHER,
    XAI,
    OPENROUTER,
    FIREWORKS,
    GEMINI,
    COHERE,
    VERTEX,
)
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
    app.add_routes(_bedrock_routes(world))
    app.add_routes(_mistral_routes(world))
    app.add_routes(_together_routes(world))
    app.add_routes(_xai_routes(world))
    app.add_routes(_openrouter_routes(world))
    app.add_routes(_fireworks_routes(world))
    app.add_routes(gemini_routes(world))
    app.add_routes(_cohere_routes(world))
    app.add_routes(vertex_routes(world))
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
    return _guarded_routes(world, ANTHROPIC, "/v1/messages/batches", routes, anthropic_error)


def _bedrock_routes(world: BatchWorld) -> list[web.RouteDef]:
    storage = ObjectStorage(world, BEDROCK, "s3")
    batches = BedrockBatches(world, storage)
    routes: list[Route] = [
        ("POST", "/model-invocation-job", batches.create),
        ("GET", "/model-invocation-jobs", batches.page),
        ("GET", "/model-invocation-job/{job:.+}", batches.retrieve),
        ("POST", "/model-invocation-job/{job:.+}/stop", batches.stop),
    ]
    return [*storage.routes(f"/{BEDROCK}/s3"), *_guarded_routes(world, BEDROCK, "", routes, bedrock_error)]


def _mistral_routes(world: BatchWorld) -> list[web.RouteDef]:
    files = MistralFiles(world)
    batches = MistralBatches(world, files)
    routes: list[Route] = [
        ("POST", "/files", files.upload),
        ("GET", "/files", files.page),
        ("GET", "/files/{file_id}", files.retrieve),
        ("DELETE", "/files/{file_id}", files.delete),
        ("GET", "/files/{file_id}/content", files.content),
        ("POST", "/batch/jobs", batches.create),
        ("GET", "/batch/jobs", batches.page),
        ("GET", "/batch/jobs/{job_id}", batches.retrieve),
        ("DELETE", "/batch/jobs/{job_id}", batches.delete),
        ("POST", "/batch/jobs/{job_id}/cancel", batches.cancel),
    ]
    return _guarded_routes(world, MISTRAL, "/v1", routes, mistral_error)


def _together_routes(world: BatchWorld) -> list[web.RouteDef]:
    files = TogetherFiles(world)
    batches = TogetherBatches(world, files)
    routes: list[Route] = [
        ("POST", "/files/upload", files.upload),
        ("POST", "/files", files.announce),
        ("POST", "/files/{file_id}/preprocess", files.retrieve),
        ("GET", "/files", files.page),
        ("GET", "/files/{file_id}", files.retrieve),
        ("DELETE", "/files/{file_id}", files.delete),
        ("GET", "/files/{file_id}/content", files.content),
        ("POST", "/batches", batches.create),
        ("GET", "/batches", batches.page),
        ("GET", "/batches/{batch_id}", batches.retrieve),
        ("POST", "/batches/{batch_id}/cancel", batches.cancel),
    ]
    storage = web.put(f"/{TOGETHER}/storage/{{token}}", files.put)
    return [storage, *_guarded_routes(world, TOGETHER, "/v1", routes, together_error)]


def _xai_routes(world: BatchWorld) -> list[web.RouteDef]:
    files = XAIFiles(world)
    batches = XAIBatches(world, files)
    routes: list[Route] = [
        ("POST", "/files", files.upload),
        ("DELETE", "/files/{file_id}", files.delete),
        ("POST", "/batches", batches.create),
        ("GET", "/batches", batches.page),
        ("GET", "/batches/{batch_id}", batches.retrieve),
        ("POST", "/batches/{batch_id}/requests", batches.add),
        ("GET", "/batches/{batch_id}/results", batches.results),
        ("POST", "/batches/{batch_id:[^/:]+}:cancel", batches.cancel),
    ]
    return _guarded_routes(world, XAI, "/v1", routes, xai_error)


def _openrouter_routes(world: BatchWorld) -> list[web.RouteDef]:
    batches = OpenRouterBatches(world)
    routes: list[Route] = [
        ("POST", "", batches.create),
        ("GET", "", batches.page),
        ("GET", "/{batch_id}", batches.retrieve),
        ("DELETE", "/{batch_id}", batches.delete),
    ]
    return _guarded_routes(world, OPENROUTER, "/api/v1/batches", routes, openrouter_error)


def _fireworks_routes(world: BatchWorld) -> list[web.RouteDef]:
    datasets = FireworksDatasets(world)
    jobs = FireworksJobs(world, datasets)
    dataset, job = "/datasets/{dataset_id:[^/:]+}", "/batchInferenceJobs/{job_id}"
    routes: list[Route] = [
        ("POST", "/datasets", datasets.create),
        ("GET", dataset, datasets.retrieve),
        ("DELETE", dataset, datasets.delete),
        ("POST", f"{dataset}:upload", datasets.upload),
        ("GET", f"{dataset}:getDownloadEndpoint", datasets.download),
        ("POST", "/batchInferenceJobs", jobs.create),
        ("GET", "/batchInferenceJobs", jobs.page),
        ("GET", job, jobs.retrieve),
        ("DELETE", job, jobs.delete),
    ]
    of_one = [(method, f"/accounts/{{account}}{path}", of_account(handler)) for method, path, handler in routes]
    accounts: Route = ("GET", "/accounts", datasets.accounts)
    stored = web.get(f"/{FIREWORKS}/storage/{{token}}", datasets.stored)
    return [stored, *_guarded_routes(world, FIREWORKS, "/v1", [accounts, *of_one], fireworks_error)]


def _cohere_routes(world: BatchWorld) -> list[web.RouteDef]:
    datasets = CohereDatasets(world)
    batches = CohereBatches(world, datasets)
    dataset, batch = "/v1/datasets/{dataset_id}", "/v2/batches/{batch_id:[^/:]+}"
    routes: list[Route] = [
        ("POST", "/v1/datasets", datasets.create),
        ("GET", "/v1/datasets", datasets.page),
        ("GET", dataset, datasets.retrieve),
        ("DELETE", dataset, datasets.delete),
        ("POST", "/v2/batches", batches.create),
        ("GET", "/v2/batches", batches.page),
        ("GET", batch, batches.retrieve),
        ("POST", f"{batch}:cancel", batches.cancel),
    ]
    stored = web.get(f"/{COHERE}/storage/{{token}}", datasets.stored)
    return [stored, *_guarded_routes(world, COHERE, "", routes, cohere_error)]


def _guarded_routes(
    world: BatchWorld, provider: str, base: str, routes: list[Route], write_error: ErrorWriter
) -> list[web.RouteDef]:
    return [
        web.route(method, f"/{provider}{base}{path}", guarded(world, provider, handler, write_error))
        for method, path, handler in routes
    ]
