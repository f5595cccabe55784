"""The typed keys of the application and of requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import TypeAlias

from aiohttp import web

from batchgate.api.http_limits import HttpLimits
from batchgate.api.key_slots import KeySlots
from batchgate.engine.lifecycle.batches import Batches
from batchgate.engine.lifecycle.files import Files
from batchgate.engine.model.api_key import Scope
from batchgate.engine.results.content_renderer import ContentRenderer
from batchgate.engine.results.partial_results import PartialResults
from batchgate.engine.tenancy.tenants import Tenants
from batchgate_api.structs import Operation

HttpMeter: TypeAlias = Callable[[str, int, float], None]
"""Called after every response with the operation id, the status and the duration in seconds."""

BATCHES = web.AppKey("batches", Batches)
FILES = web.AppKey("files", Files)
CONTENTS = web.AppKey("contents", ContentRenderer)
PARTIAL_RESULTS = web.AppKey("partial_results", PartialResults)
TENANTS = web.AppKey("tenants", Tenants)
HTTP_LIMITS = web.AppKey("http_limits", HttpLimits)
HTTP_METER: web.AppKey[HttpMeter] = web.AppKey("http_meter")

UPLOADS = web.AppKey("uploads", KeySlots)
"""The bodies that have not arrived completely."""
DOWNLOADS = web.AppKey("downloads", KeySlots)
"""The downloads that are being sent."""

REQUEST_ID = web.RequestKey("request_id", str)
WORKSPACE = web.RequestKey("workspace", str)
RECHECK: web.RequestKey[Callable[[], Awaitable[None]]] = web.RequestKey("recheck")
"""Raises `RefusedError` if the caller's key is no longer valid, because a body may take long to arrive."""
ASKED_FOR_BODY = web.RequestKey("asked_for_body", bool)
"""Set when a client that waits for ``100 Continue`` was asked for the body."""
OPEN_UPLOAD = web.RequestKey("open_upload", ExitStack)
"""Holds a slot of `UPLOADS` while the body arrives, at most as long as the request is handled."""
CALLER = web.RequestKey("caller", str)
"""The name of the API key; empty if calls need none."""
SCOPES = web.RequestKey("scopes", tuple[Scope, ...])
"""The scopes of the API key."""
MOUNT = web.RequestKey("mount", str)
"""The prefix before the operation's own path in the URL, such as ``/anthropic``; may be empty."""
BASE_URL = web.RequestKey("base_url", str)
"""The public URL of the mount prefix, once it has been built for an answer."""
OPERATION = web.RequestKey("operation", Operation)
IGNORED = web.RequestKey("ignored", list[str])
"""The fields of the body that were sent and have no effect."""


def key_of(request: web.Request) -> tuple[str, str]:
    """Return what identifies the API key of an authenticated request: its workspace and its name."""
    return request[WORKSPACE], request[CALLER]
