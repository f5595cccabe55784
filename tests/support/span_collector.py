"""Receives the spans that a gateway exports."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.http_server import http_server


class Collector:
    """Receives spans as an OpenTelemetry collector does."""

    def __init__(self) -> None:
        self.services: set[str] = set()
        self.spans: list[Span] = []
        self.url = ""

    async def receive(self, request: web.Request) -> web.Response:
        """Decode and store the exported spans."""
        for group in ExportTraceServiceRequest.FromString(await request.read()).resource_spans:
            names = (a.value.string_value for a in group.resource.attributes if a.key == "service.name")
            self.services.update(names)
            self.spans += [span for scope in group.scope_spans for span in scope.spans]
        return web.Response()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Listen while the context is entered."""
        async with http_server(self.receive, "/v1/traces") as url:
            yield url
