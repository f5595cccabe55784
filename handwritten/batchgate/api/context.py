"""The typed keys of the application and of requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import TypeAlias

from aiohttp import web

from batchgate.api.http_limits import HttpLimits
from batchgate.api.key_slots import KeySlots
from batchgate.engine.cluster.account_states import AccountStates
from batchgate.engine.lifecycle.batch_estimates import BatchEstimates
from batchgate.engine.lifecycle.batch_retry import BatchRetry
from batchgate.engine.lifecycle.batch_series import BatchSeries
from batchgate.engine.lifecycle.batches import Batches
from batchgate.engine.lifecycle.files import Files
from batchgate.engine.lifecycle.forecasts import Forecasts
from batchgate.engine.lifecycle.steering import BatchSteering
from batchgate.engine.model.api_key import Scope
from batchgate.engine.model.batch import Batch
from batchgate.engine.model.health_report import BatchWait
from batchgate.engine.results.content_renderer import ContentRenderer
from batchgate.engine.results.merged_results import MergedResults
from batchgate.engine.results.partial_results import PartialResults
from batchgate.engine.results.row_pages import RowPages
from batchgate.engine.tenancy.tenants import Tenants
from batchgate.engine.tenancy.usage_reports import UsageReports
from batchgate.engine.webhooks.webhooks import Webhooks
from batchgate_api.structs import Operation

HttpMeter: TypeAlias = Callable[[str, int, float], None]
"""Called after every response with the operation id, the status and the duration in seconds."""

BATCHES = web.AppKey("batches", Batches)
RETRIES = web.AppKey("retries", BatchRetry)
STEERING = web.AppKey("steering", BatchSteering)
WAIT: web.AppKey[Callable[[Batch], BatchWait]] = web.AppKey("wait")
"""Returns why the requests of a batch wait."""
ESTIMATES = web.AppKey("estimates", BatchEstimates)
FORECASTS = web.AppKey("forecasts", Forecasts)
FILES = web.AppKey("files", Files)
WEBHOOKS = web.AppKey("webhooks", Webhooks)
CONTENTS = web.AppKey("contents", ContentRenderer)
MERGED_RESULTS = web.AppKey("merged_results", MergedResults)
PARTIAL_RESULTS = web.AppKey("partial_results", PartialResults)
ROW_PAGES = web.AppKey("row_pages", RowPages)
SERIES = web.AppKey("series", BatchSeries)
ACCOUNTS = web.AppKey("accounts", AccountStates)
TENANTS = web.AppKey("tenants", Tenants)
USAGE = web.AppKey("usage", UsageReports)
HTTP_LIMITS = web.AppKey("http_limits", HttpLimits)
HTTP_METER: web.AppKey[HttpMeter] = web.AppKey("http_meter")

UPLOADS = web.AppKey("uploads", KeySlots)
"""The bodies that have not arrived completely."""
DOWNLOADS = web.AppKey("downloads", KeySlots)
"""The downloads that are being sent."""

EVENT_STREAMS = web.AppKey("event_streams", KeySlots)
"""The streams of events that are open."""

REQUEST_ID = web.RequestKey("request_id", str)
WORKSPACE = web.RequestKey("workspace", str)
RECHECK: web.RequestKey[Callable[[], Awaitable[None]]] = web.RequestKey("recheck")
"""Raises `RefusedError` if the caller's key is no longer valid, because a body or a stream of events may take long."""
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
    """Return what identifies the API key of a request: its workspace and name; without a key, the peer's address."""
    if WORKSPACE not in request:
        return "", request.remote or ""
    return request[WORKSPACE], request[CALLER]
