"""The calls to a gateway that the benchmarks share; they poll seldom so that polling does not distort the results."""

from __future__ import annotations

import time
import urllib.request

import msgspec

from batchgate_api.anthropic import MessageBatch
from batchgate_api.gateway import BatchProgress, Priority, SetPriority

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


def set_priority(url: str, batch_id: str, priority: Priority) -> None:
    """Give a batch another priority."""
    body, headers = msgspec.json.encode(SetPriority(priority=priority)), {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/api/batches/{batch_id}/priority", data=body, headers=headers, method="PUT")
    with urllib.request.urlopen(request):
        pass


def ended(url: str, batch: MessageBatch) -> MessageBatch:
    """Poll a batch until it has ended and return it."""
    while batch.processing_status != "ended":
        time.sleep(POLL)
        batch = retrieve(url, batch.id)
    return batch
