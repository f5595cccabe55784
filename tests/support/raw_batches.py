"""Calls of an OpenAI-shaped batch API without an SDK, which shows status and body as they are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from tests.support.simulated_batches import SimulatedProviders

CHAT: Final = "/v1/chat/completions"


def chat_line(custom_id: object, content: object = "Hello", **fields: object) -> dict[str, Any]:
    """Return a line of an input file."""
    body = {"model": "sim-1", "messages": [{"role": "user", "content": content}]}
    return {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body, **fields}


def jsonl(lines: list[Any]) -> bytes:
    """Return the content of an input file."""
    return "\n".join(json.dumps(line) for line in lines).encode()


@dataclass(frozen=True)
class RawBatches:
    """The batch API of one provider, called with one key."""

    providers: SimulatedProviders
    base: str = "openai/v1"
    key: str = "k"

    async def call(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """Make a call and return its status and body: JSON, or text if it is none."""
        headers = {"authorization": f"Bearer {self.key}", **options.pop("headers", {})}
        url = f"{self.providers.url}/{self.base}{path}"
        async with self.providers.http.request(method, url, headers=headers, **options) as response:
            text = await response.text()
            return response.status, json.loads(text) if response.content_type == "application/json" else text

    async def upload(self, content: bytes, filename: str = "rows.jsonl") -> str:
        """Upload an input file and return its id."""
        status, file = await self.try_upload(content, filename)
        assert status == 200, file
        return str(file["id"])

    async def try_upload(self, content: bytes, filename: str = "rows.jsonl") -> tuple[int, Any]:
        """Upload an input file, with the purpose after the file."""
        form = aiohttp.FormData()
        form.add_field("file", content, filename=filename)
        form.add_field("purpose", "batch")
        return await self.call("POST", "/files", data=form)

    async def try_create(self, file_id: str, **options: Any) -> tuple[int, Any]:
        """Create a batch."""
        headers = options.pop("headers", {})
        body = {"input_file_id": file_id, "endpoint": CHAT, "completion_window": "24h", **options}
        return await self.call("POST", "/batches", json=body, headers=headers)

    async def create(self, *custom_ids: str, **options: Any) -> dict[str, Any]:
        """Create a batch with one row for each id."""
        file_id = await self.upload(jsonl([chat_line(custom_id) for custom_id in custom_ids]))
        status, batch = await self.try_create(file_id, **options)
        assert status == 200, batch
        return dict(batch)

    async def retrieve(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Retrieve a batch."""
        status, retrieved = await self.call("GET", f"/batches/{batch['id']}")
        assert status == 200, retrieved
        return dict(retrieved)

    async def after(self, seconds: float, batch: dict[str, Any]) -> dict[str, Any]:
        """Move the clock and retrieve a batch."""
        await self.providers.advance(seconds)
        return await self.retrieve(batch)

    async def lines(self, file_id: str | None) -> list[dict[str, Any]]:
        """Read a result file; a file that there is not has no lines."""
        if file_id is None:
            return []
        status, text = await self.call("GET", f"/files/{file_id}/content")
        assert status == 200, text
        return [json.loads(line) for line in text.splitlines()]

    async def result_ids(self, batch: dict[str, Any]) -> tuple[list[str | None], list[str | None]]:
        """Return the ids in the output file and in the error file of a batch, in their order."""
        files = [await self.lines(batch[name]) for name in ("output_file_id", "error_file_id")]
        good, bad = ([line["custom_id"] for line in lines] for lines in files)
        return good, bad
