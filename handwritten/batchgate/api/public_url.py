"""Builds the URL under which the caller reached the gateway, for results_url.

Its source is, in this order: the setting public_url; Forwarded or X-Forwarded-* of a trusted proxy; the request's own
scheme and Host. The mount prefix of the request is kept.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from aiohttp import web

from batchgate.api.client_address import Network, is_trusted
from batchgate.api.context import BASE_URL, MOUNT
from batchgate.engine.model.errors import RefusedError

CACHED_HOSTS: Final = 64
_SAFE_HOST: Final = re.compile(r"[A-Za-z0-9.\-_]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")
_SAFE_PREFIX: Final = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9.\-_~]+)*")
"""Without dot segments, which the Python SDK refuses."""


class PublicUrl:
    """Builds absolute URLs for a request."""

    def __init__(self, configured: str | None, trusted_proxies: Sequence[Network]) -> None:
        self._configured = configured.rstrip("/") if configured else None
        self._trusted_proxies = trusted_proxies

    def absolute(self, request: web.Request, path: str) -> str:
        """Build the URL of ``path``, which begins with a slash, under the mount prefix of the request.

        Raises `RefusedError` for a request with an invalid Host.
        """
        base = request.get(BASE_URL)
        if base is None:  # a list asks once for each of its items
            base = request[BASE_URL] = f"{self.root(request)}{request[MOUNT]}"
        return base + path

    def root(self, request: web.Request) -> str:
        """Return the URL of the gateway, without a slash at its end; raises `RefusedError` for an invalid Host."""
        if self._configured:
            return self._configured
        if not (self._trusted_proxies and is_trusted(request.remote or "", self._trusted_proxies)):
            return f"{request.scheme}://{checked_host(request.host)}"
        forwarded = _forwarded(request)
        scheme = forwarded.get("proto", request.scheme)
        host = forwarded.get("host", request.host)
        prefix = forwarded.get("prefix", "").rstrip("/")
        if scheme not in {"http", "https"} or not _SAFE_HOST.fullmatch(host) or not _SAFE_PREFIX.fullmatch(prefix):
            scheme, host, prefix = request.scheme, request.host, ""
        return f"{scheme}://{checked_host(host)}{prefix}"


@lru_cache(CACHED_HOSTS)
def checked_host(host: str) -> str:
    """Return a valid Host unchanged; raises `RefusedError` for an invalid one."""
    if not _SAFE_HOST.fullmatch(host):
        message = f"Host: it must be a name or an address, perhaps with a port, and is {host!r}"
        raise RefusedError("invalid_request_error", message)
    return host


def _forwarded(request: web.Request) -> dict[str, str]:
    """Read the first proxy's entry: the standard header, then the older ones, which may have a port of their own."""
    found = {key.lower(): value for key, value in (request.forwarded[0] if request.forwarded else {}).items()}
    for name in ("proto", "host", "prefix"):
        value = request.headers.get(f"X-Forwarded-{name.title()}", "").partition(",")[0].strip()
        if value:
            found.setdefault(name, value)
    port = request.headers.get("X-Forwarded-Port", "").partition(",")[0].strip()
    default = {"http": "80", "https": "443"}.get(found.get("proto", request.scheme))
    if port.isdigit() and port != default and "host" in found and not found["host"].rpartition("]")[2].count(":"):
        found["host"] += f":{port}"
    return found
