"""Creates and polls batches as callers of the unified surface do."""

from __future__ import annotations

from io import BytesIO
from typing import Any, Final

import msgspec

from tests.support.running_app import RunningApp

BATCHES: Final = "/v1/batches"
CHAT: Final = "/v1/chat/completions"
RUNNING_STATUSES: Final = ("validating", "in_progress", "finalizing", "cancelling")


def messages(content: Any = "Hello", **more: Any) -> dict[str, Any]:
    """Make a small Messages or Chat Completions request; the simulated model refuses a number as content."""
    return {"max_tokens": 16, "messages": [{"role": "user", "content": content}]} | more


def chat_rows(*custom_ids: str, content: Any = "Hello") -> list[dict[str, Any]]:
    """Make requests that have a ``body``."""
    return [{"custom_id": custom_id, "url": CHAT, "body": messages(content)} for custom_id in custom_ids]


def message_rows(*custom_ids: str, content: Any = "Hello") -> list[dict[str, Any]]:
    """Make requests that have ``params``."""
    return [{"custom_id": custom_id, "params": messages(content)} for custom_id in custom_ids]


async def create(app: RunningApp, query: str = "", **body: Any) -> dict[str, Any]:
    """Create a batch for the provider of its model."""
    data = BytesIO(msgspec.json.encode({"model": "openai/simulated"} | body))
    status, batch = await app.call("POST", BATCHES + query, data=data, headers={"Content-Type": "application/json"})
    assert status == 200, batch
    assert isinstance(batch, dict)
    return batch


async def retrieve(app: RunningApp, batch_id: str, provider: str = "openai") -> dict[str, Any]:
    """Retrieve a batch."""
    status, batch = await app.call("GET", f"{BATCHES}/{batch_id}?provider={provider}")
    assert status == 200, batch
    assert isinstance(batch, dict)
    return batch


async def wait_for_final_status(app: RunningApp, batch_id: str, provider: str = "openai") -> dict[str, Any]:
    """Poll a batch until its status is final."""
    while (batch := await retrieve(app, batch_id, provider))["status"] in RUNNING_STATUSES:
        pass
    return batch
