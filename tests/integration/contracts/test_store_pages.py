"""Paging misses no batch and repeats none, whatever is created and deleted between two pages."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchgate.engine.ports.store import Store
from tests.support.databases import DATABASES, DatabaseKind, new_database
from tests.support.stored_rows import create, end

Change = Literal["create"] | int
"""The creation of a batch, or the index, counted from the newest, of one to delete."""
CHANGES = st.lists(st.lists(st.just("create") | st.integers(0, 9), max_size=4), max_size=8)


@dataclass
class ExpectedBatches:
    """A store and the expected keys of its batches, oldest first."""

    store: Store
    keys: list[int] = field(default_factory=list)
    ids: dict[int, str] = field(default_factory=dict)

    async def change(self, changes: Sequence[Change]) -> None:
        """Create and delete batches."""
        for change in changes:
            if change == "create":
                batch, jobs = await create(self.store, f"msgbatch_{len(self.ids)}")
                await end(self.store, batch, jobs)
                self.keys.append(batch.key)
                self.ids[batch.key] = batch.id
            elif isinstance(change, int) and self.keys:
                key = self.keys.pop(-1 - change % len(self.keys))
                assert await self.store.delete_batch("w", self.ids[key], 3000)

    async def page(self, limit: int, *, older_than: int | None = None, newer_than: int | None = None) -> list[int]:
        """Read a page, and compare it with the expected batches."""
        page = await self.store.list_batches(
            "w", older_than=older_than, newer_than=newer_than, provider=None, limit=limit
        )
        keys = [batch.key for batch in page.batches]
        if newer_than is None:
            matching = [key for key in reversed(self.keys) if older_than is None or key < older_than]
            assert keys == matching[:limit]
        else:
            matching = [key for key in self.keys if key > newer_than]
            assert keys == matching[:limit][::-1]
        assert page.has_more == (len(matching) > limit)
        return keys


async def page_through(
    kind: DatabaseKind, direction: str, limit: int, start: int, between: Sequence[Sequence[Change]]
) -> None:
    with TemporaryDirectory() as folder, new_database(kind, Path(folder)) as database:
        async with database.store() as store:
            expected = ExpectedBatches(store)
            await expected.change(["create"] * start)
            first = list(expected.keys)
            seen: list[int] = []
            cursor = None if direction == "forward" else 0
            for changes in [*between, *[[]] * (start + sum(map(len, between)))]:
                forward = direction == "forward"
                page = await expected.page(limit, **{"older_than" if forward else "newer_than": cursor})
                seen = seen + page if forward else page + seen
                cursor = (page[-1] if forward else page[0]) if page else cursor
                await expected.change(changes)
            assert seen == sorted(set(seen), reverse=True), "each batch once, in order"
            assert set(first) & set(expected.keys) <= set(seen), "batches that existed all the time are listed"
            if direction == "backward":
                assert set(expected.keys) <= set(seen), "and so are batches created meanwhile"


@pytest.mark.parametrize("kind", DATABASES)
@pytest.mark.parametrize("direction", ["forward", "backward"])
@given(limit=st.integers(1, 4), start=st.integers(0, 7), between=CHANGES)
@settings(max_examples=40, deadline=None)
def test_paging_misses_nothing_and_repeats_nothing(
    kind: DatabaseKind, direction: str, limit: int, start: int, between: list[list[Change]]
) -> None:
    asyncio.run(page_through(kind, direction, limit, start, between))
