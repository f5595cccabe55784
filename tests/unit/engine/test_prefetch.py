"""Prefetching the next item of an iterator."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from batchgate.engine.support.prefetch import prefetch_next


async def numbers(produced: list[int], *, fail_at: int | None = None) -> AsyncIterator[int]:
    for number in range(5):
        if number == fail_at:
            raise ValueError(number)
        produced.append(number)
        yield number


async def test_all_items_come_in_order() -> None:
    assert [number async for number in prefetch_next(numbers([]))] == [0, 1, 2, 3, 4]


async def test_the_next_item_is_produced_while_the_present_one_is_used() -> None:
    produced: list[int] = []
    async with aclosing(prefetch_next(numbers(produced))) as items:
        assert await anext(items) == 0
        assert await anext(items) == 1
        assert produced in ([0, 1], [0, 1, 2])  # one ahead at most


async def test_an_error_comes_after_the_items_before_it() -> None:
    items = prefetch_next(numbers([], fail_at=3))
    assert [await anext(items) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="3"):
        await anext(items)


async def test_nothing_is_produced_after_the_consumer_has_left() -> None:
    produced: list[int] = []
    async with aclosing(prefetch_next(numbers(produced))) as items:
        assert await anext(items) == 0
    assert len(produced) <= 2
