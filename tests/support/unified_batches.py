"""Batches as callers of the unified surface make and follow them."""

from __future__ import annotations

from io import BytesIO
from typing import Any, Final

import msgspec

from tests.support.running_app import RunningApp

BATCHES: Final = "/v1/batches"
CHAT: Final = "/v1/chat/completions"
RUNNING_STATUSES: Final = ("validating", "in_progress", "finalizing", "cancelling")


def messages(content: Any = "Hello", **more: Any) -> dict[str, Any]:
    """Make a small request of Messages or Chat Completions; one whose content is a number is refused by the model."""
    return {"max_tokens": 16, "messages": [{"role": "user", "content": content}]} | more


def chat_rows(*custom_ids: str, content: Any = "Hello") -> list[dict[str, Any]]:
    """Make requests with bodies."""
    return [{"custom_id": custom_id, "url": CHAT, "body": messages(content)} for custom_id in custom_ids]


def message_rows(*custom_ids: str, content: Any = "Hello") -> list[dict[str, Any]]:
    """Make requests with params."""
    return [{"custom_id": custom_id, "params": messages(content)} for custom_id in custom_ids]


async def create(app: RunningApp, query: str = "", **body: Any) -> dict[str, Any]:
    """Create a batch for the provider of its model."""
    data = BytesIO(msgspec.json.encode({"model": "openai/simulated"} | body))
    status, batch = await app.call("POST", BATCHES + query, data=data, headers={"Content-Type": "application/json"})
    assert status == 200, batch
    assert isinstance(batch, dict)
    return batch


async def retrieve(app: RunningApp, batch_id: str, provider: str = "openai") -> dict[str, Any]:
    """Look at a batch."""
    status, batch = await app.call("GET", f"{BATCHES}/{batch_id}?provider={provider}")
    assert status == 200, batch
    assert isinstance(batch, dict)
    return batch


async def wait_for_final_status(app: RunningApp, batch_id: str, provider: str = "openai") -> dict[str, Any]:
    """Follow a batch until it changes no more."""
    while (batch := await retrieve(app, batch_id, provider))["status"] in RUNNING_STATUSES:
        pass
    return batch
