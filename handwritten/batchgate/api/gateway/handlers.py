"""Health, metrics, and the OpenAPI document of this server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.resources import files

from aiohttp import web

from batchgate.api.context import SCOPES, WORKSPACE
from batchgate_api import gateway, parameters

OPENAPI = files("batchgate_api").joinpath("openapi.json").read_bytes()
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class GatewayHandler:
    """`GatewayHandlers`."""

    def __init__(
        self,
        health: Callable[[], gateway.Health],
        metrics: Callable[[str | None], Awaitable[bytes]],
        is_operator: Callable[[web.Request], Awaitable[bool]],
    ) -> None:
        self._health = health
        self._metrics = metrics
        self._is_operator = is_operator

    async def get_health(
        self,
        request: web.Request,
        parameters: parameters.GetHealthParameters,  # noqa: ARG002
    ) -> gateway.Health:
        """Return the health of the process; strangers see no names, versions or sentences."""
        health = self._health()
        if await self._is_operator(request):
            return health
        return gateway.Health(status=health.status, components=health.components)

    async def get_metrics(
        self,
        request: web.Request,
        parameters: parameters.GetMetricsParameters,  # noqa: ARG002
    ) -> web.StreamResponse:
        """Read the metrics of the gateway, or those of the caller's workspace."""
        workspace = None if "admin" in request[SCOPES] else request[WORKSPACE]
        return web.Response(body=await self._metrics(workspace), headers={"Content-Type": METRICS_TYPE})

    async def get_openapi(
        self,
        request: web.Request,  # noqa: ARG002
        parameters: parameters.GetOpenapiParameters,  # noqa: ARG002
    ) -> web.StreamResponse:
        """Download the OpenAPI document of this server."""
        return web.Response(body=OPENAPI, content_type="application/json")
