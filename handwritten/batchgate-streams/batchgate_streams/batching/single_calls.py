"""The calls of an SDK that become requests of a batch."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Final, NamedTuple

import httpx2

from batchgate_client.models import UnifiedBatchEndpoint
from batchgate_streams.batching.replies import Reply, error_reply

MESSAGES: Final = "/v1/messages"
ENDPOINTS: Final[dict[str, UnifiedBatchEndpoint]] = {
    "/chat/completions": "/v1/chat/completions",
    "/responses": "/v1/responses",
    "/embeddings": "/v1/embeddings",
    "/completions": "/v1/completions",
    "/messages": MESSAGES,
}
"""The endpoints of batches by the ends of the paths of calls; an end that is part of another one comes after it."""


class Group(NamedTuple):
    """What all calls of one batch have in common."""

    endpoint: UnifiedBatchEndpoint
    beta: str | None
    """The header ``anthropic-beta``."""


@dataclass(frozen=True, eq=False)
class SingleCall:
    """A call that waits for its reply; ``body`` is a JSON object as the SDK wrote it."""

    group: Group
    body: bytes
    reply: asyncio.Future[Reply]

    @property
    def waits(self) -> bool:
        """Whether someone still waits for the reply."""
        return not self.reply.done()

    def resolve(self, reply: Reply) -> None:
        """Give the call its reply, if someone still waits for it."""
        if self.waits:
            self.reply.set_result(reply)

    def fail(self, error: Exception) -> None:
        """Raise an error where someone still waits for the reply."""
        if self.waits:
            self.reply.set_exception(error)


def group_of(request: httpx2.Request) -> Group | Reply:
    """Return the group of a call whose body was read, or the reply that says why it cannot be in a batch."""
    path = request.url.path
    end = next((end for end in ENDPOINTS if path.endswith(end)), None)
    if request.method != "POST" or end is None:
        batched = ", ".join(ENDPOINTS)
        message = f"{request.method} {path} cannot be sent in a batch. BatchTransport takes POST calls of {batched}."
        return error_reply(path, 404, message)
    fault = _fault(request.content)
    if fault is not None:
        return error_reply(path, 400, fault)
    return Group(ENDPOINTS[end], request.headers.get("anthropic-beta"))


def _fault(body: bytes) -> str | None:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as error:
        return f"the body is not JSON, or nested too deeply: {error}"
    if not isinstance(fields, dict):
        return "the body is not a JSON object"
    if fields.get("stream"):
        return "stream: a batch has no streams; turn streaming off"
    return None
