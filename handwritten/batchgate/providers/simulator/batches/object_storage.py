"""Buckets of the simulator: as much of Amazon's S3, and of the API that Google has like it, as obstore and boto3 use.

Objects are written, read, listed and deleted. Addresses have the bucket in the path. Signatures and tokens are not
verified.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from hashlib import md5
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape, unescape

from aiohttp import web

from batchgate.engine.model.errors import RefusedError
from batchgate.providers.simulator.batches.downloads import send_results, write_body
from batchgate.providers.simulator.batches.world import BatchWorld

MAX_BYTES: Final = 1024**3
_KEYS: Final = re.compile(r"<Key>(.*?)</Key>", re.DOTALL)


class ObjectStorage:
    """All objects of all buckets, by bucket and key."""

    def __init__(self, world: BatchWorld, provider: str, scheme: str) -> None:
        self._world = world
        self._provider = provider
        """The provider whose faults downloads meet."""
        self._scheme = f"{scheme}://"
        self._objects: dict[str, Path] = {}
        self._uploads: dict[str, dict[int, Path]] = {}

    def routes(self, base: str) -> list[web.RouteDef]:
        """Return the routes of the operations below a path."""
        path = f"{base}/{{bucket}}/{{key:.+}}"
        return [
            web.put(path, self._put),
            web.get(path, self._get),
            web.delete(path, self._delete),
            web.post(path, self._post),
            web.get(f"{base}/{{bucket}}", self._list),
            web.post(f"{base}/{{bucket}}", self._delete_several),
            web.post(f"{base}/{{bucket}}/", self._delete_several),
        ]

    def path(self, uri: str) -> Path | None:
        """Return the content of the object at a URI, such as ``s3://bucket/key``; None if there is none."""
        return self._objects.get(uri.removeprefix(self._scheme))

    def add(self, uri: str, path: Path) -> None:
        """Add an object at a URI."""
        self._objects[uri.removeprefix(self._scheme)] = path

    async def _put(self, request: web.Request) -> web.StreamResponse:
        path = self._world.new_path("object")
        await write_body(request.content.iter_any(), path, MAX_BYTES)
        upload = request.query.get("uploadId")
        if upload is None:
            self._objects[_name(request)] = path
        elif upload in self._uploads:
            self._uploads[upload][int(request.query["partNumber"])] = path
        else:
            return _error(404, "NoSuchUpload")
        return web.Response(headers={"etag": _etag(path)})

    async def _post(self, request: web.Request) -> web.StreamResponse:
        """Begin an upload in parts, or end it."""
        upload = request.query.get("uploadId")
        if upload is None:
            upload = self._world.new_token()
            self._uploads[upload] = {}
            return _xml(f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>")
        parts = self._uploads.pop(upload, None)
        if parts is None:
            return _error(404, "NoSuchUpload")
        path = self._world.new_path("object")
        await write_body(_contents([parts[number] for number in sorted(parts)]), path, MAX_BYTES)
        self._objects[_name(request)] = path
        return _xml(
            f"<CompleteMultipartUploadResult><ETag>{escape(_etag(path))}</ETag></CompleteMultipartUploadResult>"
        )

    async def _get(self, request: web.Request) -> web.StreamResponse:
        path = self._objects.get(_name(request))
        if path is None:
            return _error(404, "NoSuchKey")
        headers = {"etag": _etag(path), "content-type": "binary/octet-stream"}
        if request.method == "HEAD":
            return web.FileResponse(path, headers=headers)
        try:
            return await send_results(self._world, self._provider, request, path, headers)
        except RefusedError:
            return _error(503, "SlowDown")

    async def _list(self, request: web.Request) -> web.StreamResponse:
        """List the objects whose names begin with a prefix, on one page."""
        prefix = f"{request.match_info['bucket']}/{request.query.get('prefix', '')}"
        found = sorted(item for item in self._objects.items() if item[0].startswith(prefix))
        contents = "".join(_listed(name.partition("/")[2], path) for name, path in found)
        return _xml(f"<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>")

    async def _delete(self, request: web.Request) -> web.StreamResponse:
        self._uploads.pop(request.query.get("uploadId", ""), None)
        if "uploadId" not in request.query:
            self._objects.pop(_name(request), None)
        return web.Response(status=204)

    async def _delete_several(self, request: web.Request) -> web.StreamResponse:
        keys = [unescape(key) for key in _KEYS.findall(await request.text())]
        for key in keys:
            self._objects.pop(f"{request.match_info['bucket']}/{key}", None)
        deleted = "".join(f"<Deleted><Key>{escape(key)}</Key></Deleted>" for key in keys)
        return _xml(f"<DeleteResult>{deleted}</DeleteResult>")


async def _contents(paths: list[Path]) -> AsyncIterator[bytes]:
    for path in paths:
        yield path.read_bytes()


def _name(request: web.Request) -> str:
    return f"{request.match_info['bucket']}/{request.match_info['key']}"


def _listed(key: str, path: Path) -> str:
    stat = path.stat()
    modified = datetime.fromtimestamp(stat.st_mtime, UTC).isoformat().replace("+00:00", "Z")
    about = f"<LastModified>{modified}</LastModified><ETag>{escape(_etag(path))}</ETag><Size>{stat.st_size}</Size>"
    return f"<Contents><Key>{escape(key)}</Key>{about}</Contents>"


def _etag(path: Path) -> str:
    return f'"{md5(path.read_bytes(), usedforsecurity=False).hexdigest()}"'


def _error(status: int, code: str) -> web.Response:
    return _xml(f"<Error><Code>{code}</Code><Message>{code}</Message></Error>", status)


def _xml(content: str, status: int = 200) -> web.Response:
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n{content}'
    return web.Response(status=status, text=text, content_type="application/xml")
