"""Creates and polls batches as callers of the OpenAI surface do."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tests.support.running_app import RunningApp
from tests.support.uploads import OPENAI as FILES
from tests.support.uploads import file_part, part, upload

BATCHES: Final = "/openai/v1/batches"
CHAT: Final = "/v1/chat/completions"
RUNNING_STATUSES: Final = ("validating", "in_progress", "finalizing", "cancelling")


def chat_line(custom_id: str, content: Any = "Hello", *, model: str = "simulated", url: str = CHAT) -> dict[str, Any]:
    """Make the line of a small request; the simulated model refuses a number as content."""
    body = {"model": model, "messages": [{"role": "user", "content": content}]}
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": body}


def jsonl(*lines: dict[str, Any]) -> bytes:
    """Write lines as JSONL."""
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)


async def upload_lines(app: RunningApp, content: bytes, *, purpose: str = "batch", **options: Any) -> str:
    """Upload a file and return its id."""
    file = await upload(app, part("purpose", purpose), file_part(content), **options)
    return str(file["id"])


def create_body(file_id: str, **more: Any) -> dict[str, Any]:
    """Make the body of a create request."""
    return {"input_file_id": file_id, "endpoint": CHAT, "completion_window": "24h"} | more


async def create(app: RunningApp, *lines: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Upload lines and create a batch of them."""
    file_id = await upload_lines(app, jsonl(*lines))
    status, batch = await app.call("POST", BATCHES, json=create_body(file_id, **more))
    assert status == 200, batch
    assert isinstance(batch, dict)
    return batch


async def retrieve(app: RunningApp, batch_id: str) -> dict[str, Any]:
    """Retrieve a batch."""
    status, batch = await app.call("GET", f"{BATCHES}/{batch_id}")
    assert status == 200, batch
    assert isinstance(batch, dict)
    return batch


async def wait_for_final_status(app: RunningApp, batch_id: str) -> dict[str, Any]:
    """Poll a batch until its status is final."""
    while (batch := await retrieve(app, batch_id))["status"] in RUNNING_STATUSES:
        pass
    return batch


async def download_lines(app: RunningApp, file_id: str) -> list[dict[str, Any]]:
    """Download the lines of a file."""
    async with app.client.get(f"{app.url}{FILES}/{file_id}/content") as response:
        assert response.status == 200, await response.text()
        return [msgspec.json.decode(line) for line in (await response.read()).splitlines()]
