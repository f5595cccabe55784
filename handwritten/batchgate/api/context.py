"""The typed keys of the application and of requests."""

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
"""Called after every response with the operation id, the status and the duration in seconds."""

BATCHES = web.AppKey("batches", Batches)
FILES = web.AppKey("files", Files)
CONTENTS = web.AppKey("contents", ContentRenderer)
TENANTS = web.AppKey("tenants", Tenants)
HTTP_METER: web.AppKey[HttpMeter] = web.AppKey("http_meter")

REQUEST_ID = web.RequestKey("request_id", str)
WORKSPACE = web.RequestKey("workspace", str)
RECHECK: web.RequestKey[Callable[[], Awaitable[None]]] = web.RequestKey("recheck")
"""Raises `RefusedError` if the caller's key is no longer valid, because a body may take long to arrive."""
CALLER = web.RequestKey("caller", str)
"""The name of the API key; empty if calls need none."""
SCOPES = web.RequestKey("scopes", tuple[Scope, ...])
"""The scopes of the API key."""
MOUNT = web.RequestKey("mount", str)
"""The prefix before the operation's own path in the URL, such as ``/anthropic``; may be empty."""
BASE_URL = web.RequestKey("base_url", str)
"""The public URL of the mount prefix, once it has been built for an answer."""
OPERATION = web.RequestKey("operation", Operation)
