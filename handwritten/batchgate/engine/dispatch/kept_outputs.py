"""Fetches what a task has made from the URLs in its answer, which expire, and keeps it as files."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final

import msgspec

from batchgate.engine.dispatch.endpoint import AccountEndpoint
from batchgate.engine.dispatch.shard_extras import ShardExtras
from batchgate.engine.model.errors import NoUpstreamAnswer
from batchgate.engine.model.file import NewFile
from batchgate.engine.model.provider_call import UpstreamRequest
from batchgate.engine.ports.provider import ContentTransport

MAX_OUTPUTS: Final = 32
"""URLs of one answer that are fetched at most."""
ATTEMPTS: Final = 3
RETRY_DELAY: Final = 1.0
"""Seconds between two attempts."""


async def keep_outputs(
    endpoint: AccountEndpoint, downloads: ContentTransport, extras: ShardExtras, answer: bytes, urls: Sequence[str]
) -> tuple[bytes, list[NewFile]]:
    """Return the answer with a field ``kept_outputs``, which names the file of each URL, and the files.

    What cannot be fetched has an error there: the task is paid for, so its answer counts.
    """
    kept: list[dict[str, object]] = []
    files: list[NewFile] = []
    for url in urls[:MAX_OUTPUTS]:
        found = await _fetch(endpoint, downloads, extras, url)
        if isinstance(found, NewFile):
            files.append(found)
            kept.append({"url": url, "file_id": found.id, "content_type": found.mime_type, "bytes": found.size})
        else:
            kept.append({"url": url, "error": found})
    kept += [{"url": url, "error": f"only {MAX_OUTPUTS} outputs are fetched"} for url in urls[MAX_OUTPUTS:]]
    return b'%b,"kept_outputs":%b}' % (answer.rstrip()[:-1], msgspec.json.encode(kept)), files


async def _fetch(
    endpoint: AccountEndpoint, downloads: ContentTransport, extras: ShardExtras, url: str
) -> NewFile | str:
    """Return the file with the content of a URL, or why there is none."""
    request = UpstreamRequest(url=url, headers={}, body=b"", timeout=endpoint.account.timeout, method="GET")
    reason = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            await asyncio.sleep(RETRY_DELAY)
        try:
            response, output = await extras.receive_output(endpoint.account, partial(downloads.receive, request))
        except NoUpstreamAnswer as error:
            reason = error.message
            if not error.retry_safe:
                break
        else:
            if output is not None:
                return output
            reason = f"the provider returned {response.status} for it"
    return reason
