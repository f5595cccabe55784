"""Creates that are sent twice: with an Idempotency-Key, or by an SDK that did not receive the first response."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from batchgate.settings import ApiKeySettings
from tests.support.running_app import BATCHES, RunningApp, create_body, running_app

KEY = {"Idempotency-Key": "nightly-run"}
RETRY = {"x-stainless-retry-count": "1"}
TEN_MINUTES = 600


async def create(app: RunningApp, *custom_ids: str, **headers: str) -> tuple[int, Any]:
    return await app.call("POST", BATCHES, json=create_body(*custom_ids), headers=headers)


async def stored_batch_ids(app: RunningApp) -> list[str]:
    """List the batches, and check that each has one input file and that there are no others."""
    _, page = await app.call("GET", BATCHES)
    inputs = {path.parent.name for path in (app.data_dir / "blobs").rglob("input.jsonl")}
    ids = [batch["id"] for batch in page["data"]]
    assert inputs == set(ids)
    return ids


async def test_the_same_key_with_the_same_requests_returns_the_same_batch(gateway: RunningApp) -> None:
    _, first = await create(gateway, "a", "b", **KEY)
    gateway.clock.move(3600)
    await gateway.ended(first["id"])
    status, second = await create(gateway, "a", "b", **KEY)
    assert (status, second["id"]) == (200, first["id"])
    assert await stored_batch_ids(gateway) == [first["id"]]


async def test_the_same_key_with_other_requests_is_refused_with_a_status_that_no_sdk_retries(
    gateway: RunningApp,
) -> None:
    _, first = await create(gateway, "a", **KEY)
    for custom_id, headers in (("b", KEY), ("a", KEY | {"anthropic-beta": "other"})):
        status, error = await create(gateway, custom_id, **headers)
        assert (status, error["error"]["type"]) == (422, "invalid_request_error")
        assert f"Idempotency-Key: 'nightly-run' belongs to {first['id']}" in error["error"]["message"]
    assert await stored_batch_ids(gateway) == [first["id"]]


async def test_a_key_can_be_reused_once_its_batch_is_deleted(gateway: RunningApp) -> None:
    _, first = await create(gateway, "a", **KEY)
    await gateway.ended(first["id"])
    await gateway.call("DELETE", f"{BATCHES}/{first['id']}")
    status, second = await create(gateway, "b", **KEY)
    assert (status, second["id"] == first["id"]) == (200, False)


async def test_concurrent_creates_with_one_key_make_one_batch(gateway: RunningApp) -> None:
    answers = await asyncio.gather(*(create(gateway, "a", **KEY) for _ in range(20)))
    assert {status for status, _ in answers} == {200}
    assert len({batch["id"] for _, batch in answers}) == 1
    assert len(await stored_batch_ids(gateway)) == 1


async def test_a_retry_by_an_sdk_within_ten_minutes_returns_the_first_batch(gateway: RunningApp) -> None:
    _, first = await create(gateway, "a")
    gateway.clock.move(TEN_MINUTES)
    _, retried = await create(gateway, "a", **RETRY)
    assert retried["id"] == first["id"]
    assert await stored_batch_ids(gateway) == [first["id"]]
    gateway.clock.move(1)
    _, late = await create(gateway, "a", **RETRY)
    assert late["id"] != first["id"]


@pytest.mark.parametrize(
    ("custom_id", "headers"),
    [("a", {}), ("a", {"x-stainless-retry-count": "0"}), ("b", RETRY), ("a", RETRY | {"anthropic-version": "x"})],
    ids=["no retry", "first try", "other requests", "other headers"],
)
async def test_a_create_that_is_not_a_retry_makes_a_new_batch(
    gateway: RunningApp, custom_id: str, headers: dict[str, str]
) -> None:
    _, first = await create(gateway, "a")
    _, second = await create(gateway, custom_id, **headers)
    assert second["id"] != first["id"]
    assert len(await stored_batch_ids(gateway)) == 2


@pytest.fixture
async def app_with_keys(tmp_path: Path) -> AsyncIterator[RunningApp]:
    keys = {name: ApiKeySettings(key=f"sk-{name}", workspace=name[0]) for name in ("a1", "a2", "b")}
    async with running_app(tmp_path, api_keys=keys) as app:
        yield app


async def test_a_retry_is_recognized_only_with_the_api_key_of_the_first_try(app_with_keys: RunningApp) -> None:
    _, first = await create(app_with_keys, "a", **{"x-api-key": "sk-a1"})
    _, with_another_key = await create(app_with_keys, "a", **RETRY, **{"x-api-key": "sk-a2"})
    _, with_the_same_key = await create(app_with_keys, "a", **RETRY, **{"x-api-key": "sk-a1"})
    assert with_another_key["id"] != first["id"]
    assert with_the_same_key["id"] == first["id"]


async def test_an_idempotency_key_belongs_to_its_workspace(app_with_keys: RunningApp) -> None:
    _, first = await create(app_with_keys, "a", **KEY, **{"x-api-key": "sk-a1"})
    _, same_workspace = await create(app_with_keys, "a", **KEY, **{"x-api-key": "sk-a2"})
    _, other_workspace = await create(app_with_keys, "a", **KEY, **{"x-api-key": "sk-b"})
    assert same_workspace["id"] == first["id"]
    assert other_workspace["id"] != first["id"]
