"""Serves the dashboard: static files, which read everything that they show over the HTTP API.

The pages are no operations of the API, so they are not in its document.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from aiohttp import hdrs, web
from msgspec import Struct

from batchgate.api.access_log import LOGGED_CALL, LoggedCall

FOLDER: Final = "/dashboard/"
INDEX: Final = "index.html"
TYPES: Final[Mapping[str, str]] = {
    "html": "text/html",
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
}
"""The files that are served, by the end of their names."""
CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""No script or style in a page, and nothing of another host: what batches contain cannot run."""
HEADERS: Final[Mapping[str, str]] = {
    hdrs.CACHE_CONTROL: "no-cache",
    "Content-Security-Policy": CSP,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class _File(Struct, frozen=True):
    content: bytes
    content_type: str
    etag: str


class DashboardFiles:
    """The files of the dashboard, which are read once."""

    def __init__(self) -> None:
        self._files = dict(_read(files("batchgate").joinpath("dashboard"), ""))

    @property
    def routes(self) -> list[web.RouteDef]:
        """The routes of the start page and of the files that it loads."""
        return [web.get("/", self._start_page), web.get(f"{FOLDER}{{path:.+}}", self._file)]

    async def _start_page(self, request: web.Request) -> web.StreamResponse:
        return self._answer(request, INDEX)

    async def _file(self, request: web.Request) -> web.StreamResponse:
        return self._answer(request, request.match_info["path"])

    def _answer(self, request: web.Request, path: str) -> web.StreamResponse:
        """Return a file, or that the browser has it already."""
        file = self._files.get(path)
        if file is None:
            raise web.HTTPNotFound
        request[LOGGED_CALL] = LoggedCall("dashboard", "/")
        response = web.Response(headers=HEADERS)
        response.etag = file.etag
        if any(tag.value in {file.etag, "*"} for tag in request.if_none_match or ()):
            response.set_status(304)
            return response
        response.body, response.content_type = file.content, file.content_type
        response.charset = "utf-8"
        return response


def _read(folder: Traversable, prefix: str) -> Iterator[tuple[str, _File]]:
    """Yield the files of a folder and of those in it, by their paths."""
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _read(entry, f"{prefix}{entry.name}/")
        elif (content_type := TYPES.get(entry.name.rpartition(".")[2])) is not None:
            content = entry.read_bytes()
            yield prefix + entry.name, _File(content, content_type, hashlib.sha256(content).hexdigest()[:32])
