"""The cookie of a session: it has the API key that a person signed in with, for the pages of this gateway.

It is believed only in requests of these pages. A browser sends it with whatever page asks on this host: SameSite keeps
other sites out, and the headers that are checked here keep out pages on other ports of the same host.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from typing import Final

from aiohttp import hdrs, web

from batchgate.api.origin_guard import READING, authority
from batchgate.api.public_url import PublicUrl
from batchgate.engine.model.errors import RefusedError

NAME: Final = "batchgate"
SECURE_NAME: Final = "__Host-batchgate"
"""Over https: with this prefix a browser accepts the cookie only from this host, and never sends it unencrypted."""


class SessionCookies:
    """Reads, sets and removes the cookie."""

    def __init__(self, public_url: PublicUrl) -> None:
        self._public_url = public_url

    def find_key(self, request: web.Request) -> str | None:
        """Return the API key in the cookie; raises `RefusedError` if the request is not one of the gateway's pages."""
        if hdrs.COOKIE not in request.headers:
            return None
        value = request.cookies.get(self._name(request))
        if not value:
            return None
        if not self._is_from_own_page(request):
            message = "Origin: only pages of this gateway may use its session; send an API key in a header"
            raise RefusedError("permission_error", message)
        return _decoded(value)

    def check_page(self, request: web.Request) -> None:
        """Raise `RefusedError` for a request of a page that is not the gateway's; programs send no such headers."""
        if {"Sec-Fetch-Site", hdrs.ORIGIN} & request.headers.keys() and not self._is_from_own_page(request):
            message = "Origin: only pages of this gateway may sign in and out"
            raise RefusedError("permission_error", message)

    def set(self, request: web.Request, response: web.Response, key: str) -> None:
        """Set the cookie; it lasts until the browser ends its session."""
        value = urlsafe_b64encode(key.encode("utf-8", "surrogateescape")).decode().rstrip("=")
        secure = self._is_secure(request)
        response.set_cookie(self._name(request), value, path="/", httponly=True, samesite="Strict", secure=secure)

    def remove(self, request: web.Request, response: web.Response) -> None:
        """Remove the cookie."""
        secure = self._is_secure(request)
        response.del_cookie(self._name(request), path="/", httponly=True, samesite="Strict", secure=secure)

    def _name(self, request: web.Request) -> str:
        return SECURE_NAME if self._is_secure(request) else NAME

    def _is_secure(self, request: web.Request) -> bool:
        return self._public_url.root(request).startswith("https:")

    def _is_from_own_page(self, request: web.Request) -> bool:
        """Check the headers in which a browser names the page that asks, or else that the request changes nothing.

        ``none`` is the site of a URL that a person has typed. Browsers name no site over plain http, but the origin
        with everything that may change something.
        """
        site, is_reading = request.headers.get("Sec-Fetch-Site"), request.method in READING
        if site is not None:
            return site == "same-origin" or (site == "none" and is_reading)
        origin = request.headers.get(hdrs.ORIGIN)
        if origin is None:
            return is_reading
        own = {authority(self._public_url.root(request)), authority(f"//{request.host}")} - {""}
        return authority(origin) in own


def _decoded(value: str) -> str | None:
    try:
        return urlsafe_b64decode(value + "=" * (-len(value) % 4)).decode("utf-8", "surrogateescape")
    except (Base64Error, ValueError):
        return None
