"""xAI's simulated batch API over plain HTTP, as its SDK speaks gRPC for batches (native-lanes 2.11)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import aiohttp
import pytest

from tests.support.raw_batches import RawBatches, chat_line, jsonl
from tests.support.simulated_batches import SimulatedProviders, simulated_providers

HALF: Final = 20.0
END: Final = 60.0


@pytest.fixture
async def providers() -> AsyncIterator[SimulatedProviders]:
    async with simulated_providers() as providers:
        yield providers


async def create(api: RawBatches, content: bytes) -> str:
    """Upload a file without a purpose, and make a batch of it."""
    form = aiohttp.FormData()
    form.add_field("file", content, filename="rows.jsonl")
    status, file = await api.call("POST", "/files", data=form)
    assert (status, file["object"]) == (200, "file")
    status, batch = await api.call("POST", "/batches", json={"name": "ours", "input_file_id": file["id"]})
    assert (status, batch["state"]["num_requests"]) == (200, 0)
    return str(batch["batch_id"])


async def counts(api: RawBatches, batch_id: str) -> dict[str, int]:
    _, batch = await api.call("GET", f"/batches/{batch_id}")
    return {name.removeprefix("num_"): number for name, number in batch["state"].items()}


async def results(api: RawBatches, batch_id: str, limit: int = 2) -> list[tuple[str, Any]]:
    """Walk the pages of results."""
    found: list[tuple[str, Any]] = []
    token = ""
    while True:
        _, page = await api.call("GET", f"/batches/{batch_id}/results?limit={limit}&pagination_token={token}")
        found += [(row["batch_request_id"], row["batch_result"]) for row in page["results"]]
        token = page["pagination_token"] or ""
        if not token:
            return found


async def test_results_come_in_pages_sorted_by_their_ids_also_while_the_batch_runs(
    providers: SimulatedProviders,
) -> None:
    api = RawBatches(providers, "xai/v1")
    batch_id = await create(
        api, jsonl([chat_line("d"), chat_line("c", body={"model": "m"}), chat_line("b"), chat_line("a")])
    )
    await providers.advance(HALF)
    assert await counts(api, batch_id) == {"requests": 4, "pending": 2, "success": 1, "error": 1, "cancelled": 0}
    assert [row_id for row_id, _ in await results(api, batch_id)] == ["c", "d"]
    await providers.advance(END)
    found = await results(api, batch_id)
    assert [row_id for row_id, _ in found] == ["a", "b", "c", "d"]
    assert isinstance(found[2][1]["error"], str)
    assert found[0][1]["response"]["chat_get_completion"]["object"] == "chat.completion"
    status, refusal = await api.call("POST", f"/batches/{batch_id}/requests", json={"batch_requests": []})
    assert (status, refusal["error"]) == (403, f"Batch {batch_id} has ended")


async def test_the_counters_of_a_canceled_batch_turn_back(providers: SimulatedProviders) -> None:
    api = RawBatches(providers, "xai/v1")
    await providers.play(cancellation="loses_race")
    batch_id = await create(api, jsonl([chat_line("a"), chat_line("b")]))
    await providers.advance(HALF)
    status, batch = await api.call("POST", f"/batches/{batch_id}:cancel")
    assert (status, batch["state"]["num_cancelled"], len(batch["cancel_time"])) == (200, 1, len("2026-08-28"))
    await providers.advance(END)
    assert await counts(api, batch_id) == {"requests": 2, "pending": 0, "success": 2, "error": 0, "cancelled": 0}
    assert len(await results(api, batch_id)) == 2


async def test_a_bad_file_is_refused_in_a_message(providers: SimulatedProviders) -> None:
    api = RawBatches(providers, "xai/v1")
    batch_id = await create(api, jsonl([chat_line("a")]) + b"\n{")
    await providers.advance(END)
    _, batch = await api.call("GET", f"/batches/{batch_id}")
    assert batch["cancel_by_xai_message"].startswith("JSONL file validation failed: line 2: ")
    assert batch["state"]["num_requests"] == 0
