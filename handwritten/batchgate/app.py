"""The wiring: settings in, an aiohttp application out, with one cleanup context for each resource."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from msgspec import Struct

from batchgate import __version__
from batchgate.accounts import endpoints, monthly_budgets
from batchgate.api.access_log import ACCESS_RECORDS, AccessRecords
from batchgate.api.binding import Binder
from batchgate.api.context import (
    ACCOUNTS,
    BATCHES,
    CONTENTS,
    DOWNLOADS,
    ESTIMATES,
    EVENT_STREAMS,
    FILES,
    FORECASTS,
    HTTP_LIMITS,
    HTTP_METER,
    MERGED_RESULTS,
    PARTIAL_RESULTS,
    RETRIES,
    ROW_PAGES,
    SERIES,
    STEERING,
    TENANTS,
    UPLOADS,
    USAGE,
    WAIT,
    WEBHOOKS,
)
from batchgate.api.dashboard_files import DashboardFiles
from batchgate.api.errors import add_request_id
from batchgate.api.gateway.events import EVENT_FEEDS, EventFeeds, end_event_streams
from batchgate.api.gateway.handlers import GatewayHandler
from batchgate.api.gateway.health_view import health_view
from batchgate.api.gateway.summaries import SUMMARIES, BatchSummaries
from batchgate.api.key_slots import KeySlots
from batchgate.api.origin_guard import OriginGuard
from batchgate.api.repeated_reads import REPEATED_READS, RepeatedReads
from batchgate.api.routes import check_routes, routes
from batchgate.blobs import open_blobs
from batchgate.engine.dependencies import EngineDependencies
from batchgate.engine.dispatch.router import Router
from batchgate.engine.engine import Engine
from batchgate.engine.model.batch import Dialect
from batchgate.engine.model.clock import SystemClock, TimeSource
from batchgate.engine.ports.blobs import Blobs
from batchgate.engine.ports.rows import RowFormat
from batchgate.engine.ports.store import Store
from batchgate.engine.ports.telemetry import Telemetry
from batchgate.engine.support.steady_clock import SteadyClock
from batchgate.engine.tenancy.secrets import Secrets
from batchgate.engine.webhooks.webhook_ports import WebhookPorts
from batchgate.http_handlers import http_handlers
from batchgate.installation import Installation, Role, installation
from batchgate.master_key import cipher
from batchgate.providers.batches.http_exchange import HttpExchange
from batchgate.providers.dialects.anthropic_rows import AnthropicRows
from batchgate.providers.dialects.batch_file import file_reader
from batchgate.providers.dialects.line_translator import DialectLineTranslator
from batchgate.providers.dialects.openai_rows import OpenAIRows
from batchgate.providers.registry.native_lanes import provider_batches
from batchgate.providers.transport.network_transport import NetworkTransport
from batchgate.providers.transport.proxy_transport import TransportSettings
from batchgate.providers.transport.public_downloads import PublicDownloads
from batchgate.providers.transport.webhook_sender import HttpWebhookSender
from batchgate.settings import Settings
from batchgate.telemetry import CompositeTelemetry, EventLog, Metrics
from batchgate.telemetry.span_export import create_spans
from batchgate.tenancy import Tenancy
from batchgate_api.handlers import (
    GatewayHandlers,
)
from batchgate_api.operations import OPERATIONS

READ_BUFFER: Final = 256 * 1024
"""Bytes of a request body that a connection buffers before it stops reading."""

ROWS: Final[Mapping[Dialect, RowFormat]] = {"anthropic": AnthropicRows(), "openai": OpenAIRows()}

SETTINGS: Final = web.AppKey("settings", Settings)
TRANSPORT: Final = web.AppKey("transport", NetworkTransport)
STORE: Final = web.AppKey("store", Store)
ENGINE: Final = web.AppKey("engine", Engine)


def build_app(
    settings: Settings,
    *,
    role: Role = "both",
    time_source: TimeSource | None = None,
    database_time: Callable[[], Awaitable[int]] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> web.Application:
    """Build the application of a gateway or a worker; raises `ConfigurationError` for settings that do not fit.

    ``time_source`` and ``database_time`` replace the clocks of the machine and of the database together.
    """
    clock = SteadyClock(time_source or SystemClock())
    installed = installation(settings, role)
    database_time = installed.database_time if time_source is None else database_time
    tenancy = Tenancy(settings, environment, installed.tenants, installed.budgets, clock)
    authenticator = tenancy.authenticator
    app = web.Application(
        middlewares=[_guarded(OriginGuard(settings.public_url, authenticator.is_open))],
        # Our own code decodes bodies, because it bounds the decoded size; the runner adds our own access log.
        handler_args={"auto_decompress": False, "access_log": None, "read_bufsize": READ_BUFFER},
    )
    clients = _clients(settings)
    blobs = open_blobs(settings.blob_url, Path(settings.data_dir), settings.storage_options, environment)
    encryption = cipher(settings, environment)
    secrets = Secrets(installed.secrets, encryption, clock)
    webhooks = WebhookPorts(store=installed.webhooks, sender=clients.webhooks, cipher=encryption)
    router = _router(settings, environment, clients, secrets, clock)
    metrics = Metrics(__version__, role)
    own: GatewayHandlers = GatewayHandler(
        lambda: health_view(app[ENGINE], role, __version__),
        partial(_exposition, app, metrics),
        authenticator.is_operator,
    )
    app[SETTINGS] = app[HTTP_LIMITS] = settings
    app[TRANSPORT] = clients.transport
    app[STORE] = installed.store
    _add_slots(app, settings)
    app[REPEATED_READS] = RepeatedReads(authenticator, installed.store.state)
    app[TENANTS] = tenancy.tenants
    app[HTTP_METER] = metrics.http_answered
    records = app[ACCESS_RECORDS] = AccessRecords()
    app.cleanup_ctx.append(records.run)
    others = () if role == "worker" else http_handlers(settings, blobs, router, tenancy, secrets)
    _add_routes(app, (*others, own), Binder(authenticator), role)
    app.on_shutdown.append(end_event_streams)
    app.on_response_prepare.append(add_request_id)
    telemetry = _telemetry(app, metrics, environment)
    engine = _engine(
        installed, router, blobs, clock, webhooks=webhooks, database_time=database_time, telemetry=telemetry
    )
    opened = (*_entered_clients(clients), *map(_entered, installed.resources))
    app.cleanup_ctx.extend((_blobs(blobs.check), _transport, *opened, tenancy.run, engine))
    return app


class _Clients(Struct, frozen=True):
    """The HTTP clients: of calls to providers, of what answers link to, of batch APIs, and of webhooks."""

    transport: NetworkTransport
    downloads: PublicDownloads
    exchange: HttpExchange
    webhooks: HttpWebhookSender


def _clients(settings: Settings) -> _Clients:
    network = TransportSettings(trust_env=settings.trust_env)
    return _Clients(
        NetworkTransport(network),
        PublicDownloads(),
        HttpExchange(network),
        HttpWebhookSender(settings.reachable_networks),
    )


def _router(
    settings: Settings,
    environment: Mapping[str, str],
    clients: _Clients,
    secrets: Secrets,
    clock: SteadyClock,
) -> Router:
    """Build the accounts; raises `ConfigurationError`."""
    accounts = endpoints(
        settings,
        clients.transport,
        environment,
        secrets.value,
        partial(provider_batches, exchange=clients.exchange),
        now=clock.now,
        contents=clients.transport,
        downloads=clients.downloads,
    )
    return Router(accounts, clock=clock)


def _add_routes(app: web.Application, handlers: Sequence[object], binder: Binder, role: Role) -> None:
    """Add the operations of the role, which must be exactly those of the spec, and the pages of a gateway."""
    operations = OPERATIONS
    if role == "worker":
        operations = tuple(operation for operation in OPERATIONS if operation.tag == "Gateway")
    app.add_routes(routes(operations, handlers, binder))
    check_routes(app, operations)
    if role != "worker":
        app.add_routes(DashboardFiles().routes)


def _add_slots(app: web.Application, settings: Settings) -> None:
    """Bound what one API key may have open at the same time."""
    app[UPLOADS] = KeySlots(settings.max_uploads_per_key, "uploads")
    app[DOWNLOADS] = KeySlots(settings.max_downloads_per_key, "downloads")
    app[EVENT_STREAMS] = KeySlots(settings.max_event_streams_per_key, "streams")


def _guarded(guard: OriginGuard) -> Middleware:
    """Return the middleware that refuses web pages of other origins."""

    @web.middleware
    async def checked(request: web.Request, handler: Handler) -> web.StreamResponse:
        await guard.check(request)
        return await handler(request)

    return checked


def _telemetry(app: web.Application, metrics: Metrics, environment: Mapping[str, str]) -> Telemetry:
    """Combine metrics, log and spans; the spans are flushed after the engine has stopped."""
    spans = create_spans(__version__, environment)
    if spans is None:
        return CompositeTelemetry(metrics, EventLog())

    async def closing(_: web.Application) -> AsyncIterator[None]:
        yield
        await spans.close()

    app.cleanup_ctx.append(closing)
    return CompositeTelemetry(metrics, EventLog(), spans)


def _blobs(check: Callable[[], Awaitable[None]]) -> Callable[[web.Application], AsyncIterator[None]]:
    async def checked(_: web.Application) -> AsyncIterator[None]:
        await check()
        yield

    return checked


async def _transport(app: web.Application) -> AsyncIterator[None]:
    async with app[TRANSPORT]:
        yield


def _entered(resource: AbstractAsyncContextManager[object]) -> Callable[[web.Application], AsyncIterator[None]]:
    async def entered(_: web.Application) -> AsyncIterator[None]:
        async with resource:
            yield

    return entered


def _entered_clients(clients: _Clients) -> Sequence[Callable[[web.Application], AsyncIterator[None]]]:
    return _entered(clients.downloads), _entered(clients.exchange), _entered(clients.webhooks)


def _engine(
    installed: Installation,
    router: Router,
    blobs: Blobs,
    clock: SteadyClock,
    *,
    webhooks: WebhookPorts,
    database_time: Callable[[], Awaitable[int]] | None,
    telemetry: Telemetry,
) -> Callable[[web.Application], AsyncIterator[None]]:
    async def run(app: web.Application) -> AsyncIterator[None]:
        engine = Engine(
            EngineDependencies(
                store=installed.store,
                tenants=installed.tenants,
                scrub=installed.scrub,
                steering=installed.steering,
                webhooks=webhooks,
                events=installed.events,
                usage=installed.usage,
                budgets=installed.budgets,
                account_budgets=monthly_budgets(app[SETTINGS].accounts),
                blobs=blobs,
                queue=installed.queue,
                claim_policy=installed.claim_policy,
                cluster=installed.cluster,
                router=router,
                rows=ROWS,
                translator=DialectLineTranslator(),
                file_reader=file_reader,
                clock=clock,
                database_time=database_time,
                shutdown_timeout=app[SETTINGS].shutdown_timeout,
                scrub_bytes_per_second=app[SETTINGS].scrub_bytes_per_second,
                max_output_bytes=app[SETTINGS].max_output_file_bytes,
                usage_retention_days=app[SETTINGS].usage_retention_days,
                fail_fast=app[SETTINGS].fail_fast,
                has_worker=installed.role != "gateway",
                telemetry=telemetry,
            )
        )
        _share_parts(app, engine)
        async with engine:
            yield

    return run


def _share_parts(app: web.Application, engine: Engine) -> None:
    """Give the handlers the parts of the engine that they call."""
    app[ENGINE] = engine
    app[BATCHES] = engine.batches
    app[STEERING] = engine.steering
    app[FORECASTS] = engine.forecasts
    app[USAGE] = engine.usage
    app[ESTIMATES] = engine.estimates
    app[RETRIES] = engine.retries
    app[SUMMARIES] = BatchSummaries(engine.batches, engine.forecasts, engine.pause)
    app[WAIT] = engine.wait
    app[EVENT_FEEDS] = EventFeeds(engine.looks, app[SUMMARIES])
    app[FILES] = engine.files
    app[WEBHOOKS] = engine.webhooks
    app[CONTENTS] = engine.contents
    app[PARTIAL_RESULTS] = engine.partial_results
    app[MERGED_RESULTS] = engine.merged_results
    app[ROW_PAGES] = engine.row_pages
    app[SERIES] = engine.series
    app[ACCOUNTS] = engine.accounts


async def _exposition(app: web.Application, metrics: Metrics, workspace: str | None) -> bytes:
    return await metrics.expose(await app[ENGINE].state(), workspace)
