"""The three API surfaces that show one batch: its status, its counts and its results on each of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec

from tests.support.openai_batches import BATCHES as OPENAI_BATCHES
from tests.support.running_app import BATCHES as MESSAGE_BATCHES
from tests.support.running_app import RunningApp
from tests.support.uploads import OPENAI as OPENAI_FILES

UNIFIED_BATCHES: Final = "/v1/batches"
Answers = dict[str, str | None]
"""The text of each answer by custom_id; None for a request without an answer."""


class BatchView(NamedTuple):
    """A batch as a surface shows it: its status, and its counts by request outcome."""

    status: str
    counts: dict[str, int]


@dataclass(frozen=True)
class Surface:
    """Calls the batch operations of one surface; results are lines at a route of the batch."""

    name: str
    path: str
    status: str
    """The name of the status field of a batch."""
    count_names: Mapping[str, str]
    """The names of its counts by outcome; it does not count the other outcomes."""
    query: Mapping[str, str] = field(default_factory=dict)

    async def call(self, app: RunningApp, method: str, rest: str = "") -> Any:
        """Call a path below the path of batches."""
        status, answer = await app.call(method, self.path + rest, params=self.query)
        assert status == 200, answer
        return answer

    async def retrieve(self, app: RunningApp, batch_id: str) -> BatchView:
        """Retrieve a batch."""
        return self._view(await self.call(app, "GET", f"/{batch_id}"))

    async def list_batches(self, app: RunningApp) -> dict[str, BatchView]:
        """Return the first page of batches by id."""
        return {batch["id"]: self._view(batch) for batch in (await self.call(app, "GET"))["data"]}

    async def cancel(self, app: RunningApp, batch_id: str) -> BatchView:
        """Cancel a batch."""
        return self._view(await self.call(app, "POST", f"/{batch_id}/cancel"))

    async def ended(self, app: RunningApp, batch_id: str) -> BatchView:
        """Wait for the end of a batch and retrieve it."""
        while not (await app.call("GET", f"{MESSAGE_BATCHES}/{batch_id}"))[1]["ended_at"]:
            pass
        return await self.retrieve(app, batch_id)

    async def read_results(self, app: RunningApp, batch_id: str) -> Answers:
        """Read the results of a batch."""
        lines = await download_lines(app, f"{self.path}/{batch_id}/results", self.query)
        return {line["custom_id"]: answer_text(line) for line in lines}

    def _view(self, batch: dict[str, Any]) -> BatchView:
        counts = {name: batch["request_counts"].get(key, 0) for name, key in self.count_names.items()}
        return BatchView(batch[self.status], counts)


class FileSurface(Surface):
    """Calls the batch operations of the surface whose results are files."""

    async def read_results(self, app: RunningApp, batch_id: str) -> Answers:
        """Read the output and the error file of a batch, and check the metadata of all its files."""
        batch = await self.call(app, "GET", f"/{batch_id}")
        files = [file for file in (batch["output_file_id"], batch["error_file_id"]) if file is not None]
        for file_id in (batch["input_file_id"], *files):
            _, file = await app.call("GET", f"{OPENAI_FILES}/{file_id}")
            async with app.client.get(f"{app.url}{OPENAI_FILES}/{file_id}/content") as response:
                assert len(await response.read()) == file["bytes"] > 0
        lines = [line for file_id in files for line in await download_lines(app, f"{OPENAI_FILES}/{file_id}/content")]
        assert all(line.keys() == {"id", "custom_id", "response", "error"} for line in lines)
        assert len({line["id"] for line in lines}) == len(lines)
        return {line["custom_id"]: answer_text(line) for line in lines}


ANTHROPIC: Final = Surface(
    name="anthropic",
    path=MESSAGE_BATCHES,
    status="processing_status",
    count_names={name: name for name in ("succeeded", "errored", "canceled", "expired")},
)
OPENAI: Final = FileSurface(
    name="openai", path=OPENAI_BATCHES, status="status", count_names={"succeeded": "completed", "errored": "failed"}
)
UNIFIED: Final = Surface(
    name="unified",
    path=UNIFIED_BATCHES,
    status="status",
    count_names={"succeeded": "completed", "errored": "failed", "canceled": "canceled", "expired": "expired"},
    query={"provider": "openai"},
)
SURFACES: Final = (ANTHROPIC, OPENAI, UNIFIED)


async def download_lines(app: RunningApp, path: str, query: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """Download lines of JSON."""
    async with app.client.get(app.url + path, params=query) as response:
        assert response.status == 200, await response.text()
        return [msgspec.json.decode(line) for line in (await response.read()).splitlines()]


def answer_text(line: dict[str, Any]) -> str | None:
    """Return the text of the answer in a result line of either dialect."""
    text: str
    if "result" in line:
        found = line["result"]
        if found["type"] != "succeeded":
            return None
        text = found["message"]["content"][0]["text"]
    elif line["response"] is None or line["response"]["status_code"] != 200:
        return None
    else:
        text = line["response"]["body"]["choices"][0]["message"]["content"]
    return text
