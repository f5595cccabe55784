"""Both paging styles return every batch once, newest first, even if batches change between two pages."""

import itertools
import random
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.support.running_app import BATCHES, RunningApp, running_app, simulator

LIMITS = range(1, 8)


async def create_ended_batches(app: RunningApp, count: int) -> list[str]:
    """Create batches, wait for their end and return their ids newest first, as a list does."""
    ids = [(await app.create("a"))["id"] for _ in range(count)]
    for batch_id in ids:
        await app.ended(batch_id)
    return ids[::-1]


async def delete(app: RunningApp, batch_id: str) -> None:
    await app.ended(batch_id)
    status, answer = await app.call("DELETE", f"{BATCHES}/{batch_id}")
    assert status == 200, answer


async def page(app: RunningApp, provider: str | None = None, **query: Any) -> tuple[list[str], bool]:
    """Read one page, and return its ids and has_more."""
    headers = {"x-model-provider": provider} if provider else {}
    status, answer = await app.call("GET", BATCHES, params=query, headers=headers)
    assert status == 200, answer
    ids = [batch["id"] for batch in answer["data"]]
    assert answer.keys() == {"data", "has_more", "first_id", "last_id"}
    assert (answer["first_id"], answer["last_id"]) == ((ids[0], ids[-1]) if ids else (None, None))
    return ids, answer["has_more"]


async def pages(app: RunningApp, size: str, cursor: str, limit: int, start: str = "") -> AsyncIterator[list[str]]:
    """Read pages as the SDKs do: from the last id in the direction of paging, until has_more is false."""
    query: dict[str, Any] = {size: limit} | ({cursor: start} if start else {})
    more = True
    while more:
        ids, more = await page(app, **query)
        assert len(ids) <= limit
        yield ids
        if ids:
            query[cursor] = ids[0] if cursor == "before_id" else ids[-1]


def flatten(walked: Iterable[list[str]]) -> list[str]:
    return list(itertools.chain.from_iterable(walked))


@pytest.mark.parametrize(("size", "cursor"), [("limit", "after_id"), ("page_size", "page_token")])
async def test_paging_forward_returns_every_batch_once_newest_first(
    gateway: RunningApp, size: str, cursor: str
) -> None:
    ids = await create_ended_batches(gateway, 6)
    for limit in LIMITS:
        walked = [page_ids async for page_ids in pages(gateway, size, cursor, limit)]
        assert flatten(walked) == ids
        assert [len(page_ids) for page_ids in walked[:-1]] == [limit] * (len(walked) - 1)
        assert len(walked) == -(-6 // limit)


async def test_paging_backward_returns_every_newer_batch_once_in_adjacent_pages(gateway: RunningApp) -> None:
    *newer, oldest = await create_ended_batches(gateway, 6)
    for limit in LIMITS:
        walked = [page_ids async for page_ids in pages(gateway, "limit", "before_id", limit, start=oldest)]
        assert flatten(reversed(walked)) == newer
        assert [len(page_ids) for page_ids in walked[:-1]] == [limit] * (len(walked) - 1)


async def test_a_page_before_a_batch_contains_its_nearest_newer_batches(gateway: RunningApp) -> None:
    five, four, three, two, one = await create_ended_batches(gateway, 5)
    assert await page(gateway, limit=2, before_id=one) == ([three, two], True)
    assert await page(gateway, limit=2, before_id=three) == ([five, four], False)


async def test_has_more_refers_to_the_requested_direction(gateway: RunningApp) -> None:
    five, four, three, two, one = await create_ended_batches(gateway, 5)
    assert await page(gateway, limit=2) == ([five, four], True)
    assert await page(gateway, limit=2, after_id=four) == ([three, two], True)
    assert await page(gateway, limit=2, after_id=three) == ([two, one], False)
    assert await page(gateway, limit=2, before_id=three) == ([five, four], False)
    assert await page(gateway, limit=4, before_id=one) == ([five, four, three, two], False)
    assert await page(gateway, limit=3, before_id=one) == ([four, three, two], True)


async def test_two_cursors_return_the_batches_strictly_between_them(gateway: RunningApp) -> None:
    five, four, three, two, one = await create_ended_batches(gateway, 5)
    assert await page(gateway, after_id=five, before_id=one) == ([four, three, two], False)
    assert await page(gateway, after_id=five, before_id=one, limit=2) == ([four, three], True)
    assert await page(gateway, after_id=three, before_id=one, limit=2) == ([two], False)
    assert await page(gateway, page_token=five, before_id=three) == ([four], False)
    assert await page(gateway, after_id=four, before_id=three) == ([], False)
    assert await page(gateway, after_id=three, before_id=three) == ([], False)
    assert await page(gateway, after_id=one, before_id=five) == ([], False)


async def test_paging_ends_for_the_java_sdk_which_keeps_before_id(gateway: RunningApp) -> None:
    _, *between, oldest = await create_ended_batches(gateway, 6)
    newest_of_page, more = (await page(gateway, limit=2, before_id=oldest))[0][0], True
    walked = []
    after = newest_of_page
    while more:
        ids, _ = await page(gateway, limit=2, before_id=oldest, after_id=after)
        walked += ids
        more = bool(ids)
        after = ids[-1] if ids else after
    assert walked == between[between.index(newest_of_page) + 1 :]


async def test_a_page_beyond_the_end_is_empty_with_null_ids(gateway: RunningApp) -> None:
    assert await page(gateway) == ([], False)
    newest, oldest = await create_ended_batches(gateway, 2)
    assert await page(gateway, after_id=oldest) == ([], False)
    assert await page(gateway, before_id=newest) == ([], False)


async def test_a_page_has_20_batches_unless_a_limit_is_given(gateway: RunningApp) -> None:
    ids = [(await gateway.create("a"))["id"] for _ in range(22)][::-1]
    assert await page(gateway) == (ids[:20], True)
    assert await page(gateway, after_id=ids[1]) == (ids[2:], False)
    assert await page(gateway, limit=21) == (ids[:21], True)
    assert await page(gateway, limit=22) == (ids, False)
    assert await page(gateway, limit=1000) == (ids, False)
    assert await page(gateway, page_size=1) == (ids[:1], True)


async def test_the_cursor_of_a_deleted_batch_still_works(gateway: RunningApp) -> None:
    four, three, two, one = await create_ended_batches(gateway, 4)
    await delete(gateway, three)
    assert await page(gateway, after_id=three) == ([two, one], False)
    assert await page(gateway, before_id=three) == ([four], False)
    assert await page(gateway, page_token=three, page_size=1) == ([two], True)
    assert await page(gateway) == ([four, two, one], False)


async def test_batches_are_ordered_by_creation_and_not_by_the_clock(gateway: RunningApp) -> None:
    first = await gateway.create("a")
    gateway.clock.move(-3600)
    second = await gateway.create("a")
    assert second["created_at"] < first["created_at"]
    assert await page(gateway) == ([second["id"], first["id"]], False)


async def test_a_provider_filters_the_list_and_any_cursor_works_within_it(tmp_path: Path) -> None:
    accounts = {"one": simulator(), "two": simulator()}
    async with running_app(tmp_path, accounts=accounts, default_provider="one") as app:
        providers = ["one", "two", "one", "two", "two", "one"]
        ids = [(await app.create("a", headers={"x-model-provider": name}))["id"] for name in providers]
        of_one, of_two = ([ids[n] for n in range(5, -1, -1) if providers[n] == name] for name in ("one", "two"))
        assert await page(app) == (ids[::-1], False)
        assert await page(app, "one") == (of_one, False)
        assert await page(app, "two", limit=2) == (of_two[:2], True)
        assert await page(app, "two", limit=2, after_id=of_two[1]) == (of_two[2:], False)
        assert await page(app, "two", limit=2, before_id=of_one[-1]) == (of_two[1:], True)
        assert await page(app, "two", after_id=of_one[0], before_id=of_one[1]) == (of_two[:2], False)
        assert await page(app, "three") == ([], False)


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
@pytest.mark.parametrize(
    ("size", "cursor"), [("limit", "after_id"), ("page_size", "page_token"), ("limit", "before_id")]
)
async def test_paging_returns_every_lasting_batch_once_while_others_are_created_and_deleted(
    gateway: RunningApp, size: str, cursor: str, limit: int
) -> None:
    rng = random.Random(f"{cursor} {limit}")
    existing = await create_ended_batches(gateway, 6)
    start = existing[-1] if cursor == "before_id" else ""
    lasting = set(existing) - {start}
    walked: list[list[str]] = []
    async for page_ids in pages(gateway, size, cursor, limit, start):
        walked.append(page_ids)
        if rng.random() < 0.5 and len(walked) < 20:
            existing = await create_ended_batches(gateway, 1) + existing
        for deleted_id in rng.sample(existing, k=rng.randint(0, min(2, len(existing)))):
            existing.remove(deleted_id)
            lasting.discard(deleted_id)
            await delete(gateway, deleted_id)
    listed = flatten(reversed(walked) if cursor == "before_id" else walked)
    assert len(listed) == len(set(listed))
    assert lasting <= set(listed)
    assert [batch_id for batch_id in listed if batch_id in existing] == [
        batch_id for batch_id in existing if batch_id in listed
    ]
