"""Keeps web pages away from a gateway without API keys, which anybody may call who reaches it.

A browser reaches it on behalf of any page that it shows. It tells from where: in Host, the name by which the page
found the gateway, which gives away a page whose own name was pointed at this machine (DNS rebinding), and in
Sec-Fetch-Site or Origin.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from batchgate.api.public_url import checked_host
from batchgate.engine.model.errors import RefusedError

RESERVED: Final = (".localhost", ".internal", ".test")
"""Ends of names that nobody can own, such as host.docker.internal."""
READING: Final = frozenset({hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS})
"""Methods that change nothing; what they answer is kept from other pages by the browser."""


def origin_guard(public_url: str | None, is_open: Callable[[], Awaitable[bool]]) -> Middleware:
    """Make the middleware that refuses names and pages which are not the gateway's own, while it is open to all."""
    known = _name_in(public_url or "")

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not await is_open():
            return await handler(request)
        host = request.headers.get(hdrs.HOST)
        asked = _name_in(f"//{checked_host(host)}") if host is not None else ""
        if not (asked == known or _is_private(asked)):
            message = f"Host: {host!r} is not known; set public_url to the URL with this name, or use api_keys"
            raise RefusedError("permission_error", message)
        if request.method not in READING and _comes_from_elsewhere(request, {asked, known} - {""}):
            message = "Origin: pages of other sites may not call this gateway unless it has api_keys"
            raise RefusedError("permission_error", message)
        return await handler(request)

    return guard


def _comes_from_elsewhere(request: web.Request, own: set[str]) -> bool:
    """Return whether a page of another site sends the request; clients other than browsers send neither header."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "cross-site"
    origin = request.headers.get(hdrs.ORIGIN)
    return origin is not None and _name_in(origin) not in own


def _name_in(url: str) -> str:
    """Read the name or address of a URL; empty if there is none, as in the origin ``null``."""
    try:
        return (urlsplit(url).hostname or "").removesuffix(".")
    except ValueError:
        return ""


def _is_private(name: str) -> bool:
    """Return whether no outsider can point the name here: an address, a name without a dot, or a reserved zone."""
    if "." not in name or name.endswith(RESERVED):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
