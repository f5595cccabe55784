"""The three surfaces that show one batch: what each calls it, how it counts, and where its results are read."""

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
"""The text of each answer by its custom_id, and None for a request that has none."""


class Shown(NamedTuple):
    """A batch as a surface shows it: its word for how far it is, and its counts by how requests ended."""

    status: str
    counts: dict[str, int]


@dataclass(frozen=True)
class Surface:
    """Asks for batches at one surface; its results are lines at a route of the batch's own."""

    name: str
    path: str
    status: str
    """The field that says how far a batch is."""
    counted: Mapping[str, str]
    """What it calls the requests that ended in each way; it does not count the others."""
    query: Mapping[str, str] = field(default_factory=dict)

    async def ask(self, app: RunningApp, method: str, rest: str = "") -> Any:
        """Make a call below the path of batches."""
        status, answer = await app.call(method, self.path + rest, params=self.query)
        assert status == 200, answer
        return answer

    async def retrieve(self, app: RunningApp, batch_id: str) -> Shown:
        """Look at one batch."""
        return self._shown(await self.ask(app, "GET", f"/{batch_id}"))

    async def listed(self, app: RunningApp) -> dict[str, Shown]:
        """Look at the first page of batches."""
        return {batch["id"]: self._shown(batch) for batch in (await self.ask(app, "GET"))["data"]}

    async def cancel(self, app: RunningApp, batch_id: str) -> Shown:
        """Cancel one batch."""
        return self._shown(await self.ask(app, "POST", f"/{batch_id}/cancel"))

    async def ended(self, app: RunningApp, batch_id: str) -> Shown:
        """Look at one batch when it has ended."""
        while not (await app.call("GET", f"{MESSAGE_BATCHES}/{batch_id}"))[1]["ended_at"]:
            pass
        return await self.retrieve(app, batch_id)

    async def read(self, app: RunningApp, batch_id: str) -> Answers:
        """Read the results of one batch."""
        lines = await lines_at(app, f"{self.path}/{batch_id}/results", self.query)
        return {line["custom_id"]: text_of(line) for line in lines}

    def _shown(self, batch: dict[str, Any]) -> Shown:
        counts = {name: batch["request_counts"].get(key, 0) for name, key in self.counted.items()}
        return Shown(batch[self.status], counts)


class FileSurface(Surface):
    """Asks at the surface whose results are files."""

    async def read(self, app: RunningApp, batch_id: str) -> Answers:
        """Read the output and the error file of one batch, and check what is said of all its files."""
        batch = await self.ask(app, "GET", f"/{batch_id}")
        files = [file for file in (batch["output_file_id"], batch["error_file_id"]) if file is not None]
        for file_id in (batch["input_file_id"], *files):
            _, file = await app.call("GET", f"{OPENAI_FILES}/{file_id}")
            async with app.client.get(f"{app.url}{OPENAI_FILES}/{file_id}/content") as response:
                assert len(await response.read()) == file["bytes"] > 0
        lines = [line for file_id in files for line in await lines_at(app, f"{OPENAI_FILES}/{file_id}/content")]
        assert all(line.keys() == {"id", "custom_id", "response", "error"} for line in lines)
        assert len({line["id"] for line in lines}) == len(lines)
        return {line["custom_id"]: text_of(line) for line in lines}


ANTHROPIC: Final = Surface(
    name="anthropic",
    path=MESSAGE_BATCHES,
    status="processing_status",
    counted={name: name for name in ("succeeded", "errored", "canceled", "expired")},
)
OPENAI: Final = FileSurface(
    name="openai", path=OPENAI_BATCHES, status="status", counted={"succeeded": "completed", "errored": "failed"}
)
UNIFIED: Final = Surface(
    name="unified",
    path=UNIFIED_BATCHES,
    status="status",
    counted={"succeeded": "completed", "errored": "failed", "canceled": "canceled", "expired": "expired"},
    query={"provider": "openai"},
)
SURFACES: Final = (ANTHROPIC, OPENAI, UNIFIED)


async def lines_at(app: RunningApp, path: str, query: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """Download lines."""
    async with app.client.get(app.url + path, params=query) as response:
        assert response.status == 200, await response.text()
        return [msgspec.json.decode(line) for line in (await response.read()).splitlines()]


def text_of(line: dict[str, Any]) -> str | None:
    """Read the answer of a result line of either dialect."""
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
