"""What handlers find in the application and in a request: every typed key is defined here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from aiohttp import web

from batchgate.engine.lifecycle.batches import Batches
from batchgate.engine.lifecycle.files import Files
from batchgate.engine.model.api_key import Scope
from batchgate.engine.results.content_renderer import ContentRenderer
from batchgate.engine.tenancy.tenants import Tenants
from batchgate_api.structs import Operation

HttpMeter: TypeAlias = Callable[[str, int, float], None]
"""Told of every answer: the id of its operation, its status, and the seconds that it took."""

BATCHES = web.AppKey("batches", Batches)
FILES = web.AppKey("files", Files)
CONTENTS = web.AppKey("contents", ContentRenderer)
TENANTS = web.AppKey("tenants", Tenants)
HTTP_METER: web.AppKey[HttpMeter] = web.AppKey("http_meter")

REQUEST_ID = web.RequestKey("request_id", str)
WORKSPACE = web.RequestKey("workspace", str)
RECHECK: web.RequestKey[Callable[[], Awaitable[None]]] = web.RequestKey("recheck")
"""Raises `RefusedError` when the caller's key is no longer good: bodies may take long to come."""
CALLER = web.RequestKey("caller", str)
"""The name of the API key; empty where none is needed."""
SCOPES = web.RequestKey("scopes", tuple[Scope, ...])
"""What the API key is for."""
MOUNT = web.RequestKey("mount", str)
"""What stood before the operation's own path in the URL, such as ``/anthropic``; empty for none."""
OPERATION = web.RequestKey("operation", Operation)
