"""Uploads a file to Gemini by its resumable protocol, in pieces that are made as they are sent (more-dialects 4.3)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import urlsplit

import msgspec

from batchgate.engine.model.errors import NoUpstreamAnswer
from batchgate.engine.model.native_job import PlannedRow
from batchgate.engine.model.provider_call import Account, UpstreamResponse
from batchgate.providers.batches.gemini_objects import GeminiFile, UploadedFile
from batchgate.providers.batches.http_exchange import HttpCall, HttpExchange
from batchgate.providers.batches.provider_objects import read_object
from batchgate.providers.handlers.gemini import VERSION, key_headers

PIECE: Final = 8 * 1024 * 1024
"""Bytes of each piece but the last, as in Google's SDKs; it is a multiple of what the protocol asks for."""
MEDIA_TYPE: Final = "application/jsonl"


class GeminiUpload:
    """One upload of the rows of a job."""

    def __init__(self, exchange: HttpExchange, account: Account, name: str) -> None:
        self._exchange: Final = exchange
        self._account: Final = account
        self._name: Final = name

    async def send(self, rows: AsyncIterator[PlannedRow]) -> GeminiFile:
        """Send all rows, a line each, and return the file."""
        url = await self._start()
        offset = 0
        piece = bytearray()
        async for row in rows:
            piece += row.line
            piece += b"\n"
            while len(piece) > PIECE:
                await self._send(url, bytes(piece[:PIECE]), offset, "upload")
                del piece[:PIECE]
                offset += PIECE
        response = await self._send(url, bytes(piece), offset, "upload, finalize")
        return read_object(self._account, response, UploadedFile, "a file").file

    async def _start(self) -> str:
        """Open the upload and return its URL, which needs no key."""
        headers = key_headers(self._account) | {
            "content-type": "application/json",
            "x-goog-upload-protocol": "resumable",
            "x-goog-upload-command": "start",
            "x-goog-upload-header-content-type": MEDIA_TYPE,
        }
        body = msgspec.json.encode({"file": {"displayName": self._name, "mimeType": MEDIA_TYPE}})
        url = f"{self._account.base_url}/upload{VERSION}/files"
        response = await self._exchange.send(
            self._account, HttpCall(method="POST", url=url, headers=headers, body=body)
        )
        return _upload_url(self._account, response)

    async def _send(self, url: str, piece: bytes, offset: int, command: str) -> UpstreamResponse:
        headers = {
            "content-type": MEDIA_TYPE,
            "x-goog-upload-command": command,
            "x-goog-upload-offset": str(offset),
        }
        return await self._exchange.send(self._account, HttpCall(method="POST", url=url, headers=headers, body=piece))


def _upload_url(account: Account, response: UpstreamResponse) -> str:
    """Return the URL for the content; it is used as it is, but never without encryption that the account has."""
    url = response.headers.get("x-goog-upload-url", "")
    allowed = {"https"} if urlsplit(account.base_url).scheme == "https" else {"http", "https"}
    if urlsplit(url).scheme not in allowed:
        message = "The provider's answer to the start of an upload has no usable X-Goog-Upload-URL."
        raise NoUpstreamAnswer("api_error", message, status=response.status, retry_safe=True)
    return url
