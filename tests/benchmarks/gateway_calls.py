"""The calls to a gateway that the benchmarks share; they poll seldom so that polling does not distort the results."""

from __future__ import annotations

import time
import urllib.request

import msgspec

from batchgate_api.anthropic import MessageBatch
from batchgate_api.gateway import BatchProgress

BATCHES = "/anthropic/v1/messages/batches"
POLL = 0.25  # seconds


def create(url: str, requests: list[dict[str, object]]) -> MessageBatch:
    """Create a batch."""
    body = msgspec.json.encode({"requests": requests})
    headers = {"Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url + BATCHES, data=body, headers=headers)) as response:
        return msgspec.json.decode(response.read(), type=MessageBatch)


def retrieve(url: str, batch_id: str) -> MessageBatch:
    """Read a batch."""
    with urllib.request.urlopen(f"{url}{BATCHES}/{batch_id}") as response:
        return msgspec.json.decode(response.read(), type=MessageBatch)


def progress(url: str, batch_id: str) -> BatchProgress:
    """Read the progress of a batch."""
    with urllib.request.urlopen(f"{url}/api/batches/{batch_id}/progress") as response:
        return msgspec.json.decode(response.read(), type=BatchProgress)


def ended(url: str, batch: MessageBatch) -> MessageBatch:
    """Poll a batch until it has ended and return it."""
    while batch.processing_status != "ended":
        time.sleep(POLL)
        batch = retrieve(url, batch.id)
    return batch
