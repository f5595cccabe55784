"""Protects a gateway without API keys from web pages of other origins.

Such a gateway accepts every caller that can reach it, and a browser calls it for any page that it displays. The
browser sends the name in the page's URL in Host, which exposes a page whose name resolves to this machine (DNS
rebinding), and the page's site in Sec-Fetch-Site or Origin.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from batchgate.api.public_url import CACHED_HOSTS, checked_host
from batchgate.engine.model.errors import RefusedError

RESERVED: Final = (".localhost", ".internal", ".test")
"""Suffixes of names that cannot be registered, such as host.docker.internal."""
DEFAULT_PORTS: Final = {"http": 80, "https": 443}
READING: Final = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})
"""Methods that change nothing; the browser hides their answers from other sites."""


class OriginGuard:
    """Refuses foreign hosts and pages while the gateway has no API keys."""

    def __init__(self, public_url: str | None, is_open: Callable[[], Awaitable[bool]]) -> None:
        self._known = _name_in(public_url or "")
        self._known_origin = authority(public_url or "")
        self._is_open = is_open

    async def check(self, request: web.Request) -> None:
        """Raise `RefusedError` for a request that a page of another origin may have sent."""
        if not await self._is_open():
            return
        host = request.headers.get(hdrs.HOST)
        asked = _host_name(host) if host is not None else ""
        if not (asked == self._known or _is_private(asked)):
            message = f"Host: {host!r} is not known; set public_url to the URL with this name, or use api_keys"
            raise RefusedError("permission_error", message)
        if request.method not in READING and _comes_from_elsewhere(request, host or "", self._known_origin):
            message = "Origin: pages of other sites may not call this gateway unless it has api_keys"
            raise RefusedError("permission_error", message)


def _comes_from_elsewhere(request: web.Request, host: str, known_origin: str) -> bool:
    """Check if a page of another origin sends the request; only browsers send these headers.

    Another port of the same host is another origin: any program of this machine may serve pages there.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in {"same-origin", "none"}
    origin = request.headers.get(hdrs.ORIGIN)
    own = {authority(f"//{host}"), known_origin} - {""}
    return origin is not None and authority(origin) not in own


def authority(url: str) -> str:
    """Return the host and the port of a URL, without the default port of its scheme; empty if there is none."""
    name, (scheme, separator, _) = _name_in(url), url.partition("://")
    try:
        port = urlsplit(url).port
    except ValueError:
        return ""
    default = DEFAULT_PORTS.get(scheme.lower() if separator else "")
    return name if not name or port is None or port == default else f"{name}:{port}"


@lru_cache(CACHED_HOSTS)
def _host_name(host: str) -> str:
    """Return the name in a Host header; raises `RefusedError` for an invalid one."""
    return _name_in(f"//{checked_host(host)}")


def _name_in(url: str) -> str:
    """Return the host of a URL; empty if there is none, as in the origin ``null``."""
    try:
        return (urlsplit(url).hostname or "").removesuffix(".")
    except ValueError:
        return ""


@lru_cache(CACHED_HOSTS)
def _is_private(name: str) -> bool:
    """Check if a name cannot be registered: an address, a name without a dot, or one in a reserved zone."""
    if "." not in name or name.endswith(RESERVED):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
