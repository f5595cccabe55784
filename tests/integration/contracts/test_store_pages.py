"""Whatever is created and deleted between two pages, a walk over them loses nothing and shows nothing twice."""

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
from tests.integration.contracts.test_store import create, end
from tests.support.databases import DATABASES, DatabaseKind, new_database

Change = Literal["create"] | int
"""A new batch, or the place of one, counted from the newest, that is deleted."""
CHANGES = st.lists(st.lists(st.just("create") | st.integers(0, 9), max_size=4), max_size=8)


@dataclass
class Shelf:
    """The batches of a store by key, oldest first, and those that were deleted."""

    store: Store
    keys: list[int] = field(default_factory=list)
    ids: dict[int, str] = field(default_factory=dict)

    async def change(self, changes: Sequence[Change]) -> None:
        """Create and delete."""
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
        """Read a page, and check it against what there is."""
        page = await self.store.list_batches(
            "w", older_than=older_than, newer_than=newer_than, provider=None, limit=limit
        )
        keys = [batch.key for batch in page.batches]
        if newer_than is None:
            there = [key for key in reversed(self.keys) if older_than is None or key < older_than]
            assert keys == there[:limit]
        else:
            there = [key for key in self.keys if key > newer_than]
            assert keys == there[:limit][::-1]
        assert page.has_more == (len(there) > limit)
        return keys


async def walk(kind: DatabaseKind, direction: str, limit: int, start: int, between: Sequence[Sequence[Change]]) -> None:
    with TemporaryDirectory() as folder, new_database(kind, Path(folder)) as database:
        async with database.store() as store:
            shelf = Shelf(store)
            await shelf.change(["create"] * start)
            first = list(shelf.keys)
            seen: list[int] = []
            cursor = None if direction == "forward" else 0
            for changes in [*between, *[[]] * (start + sum(map(len, between)))]:
                forward = direction == "forward"
                page = await shelf.page(limit, **{"older_than" if forward else "newer_than": cursor})
                seen = seen + page if forward else page + seen
                cursor = (page[-1] if forward else page[0]) if page else cursor
                await shelf.change(changes)
            assert seen == sorted(set(seen), reverse=True), "each once, in order"
            assert set(first) & set(shelf.keys) <= set(seen), "what was there all the time was seen"
            if direction == "backward":
                assert set(shelf.keys) <= set(seen), "and so was what came meanwhile"


@pytest.mark.parametrize("kind", DATABASES)
@pytest.mark.parametrize("direction", ["forward", "backward"])
@given(limit=st.integers(1, 4), start=st.integers(0, 7), between=CHANGES)
@settings(max_examples=40, deadline=None)
def test_a_walk_loses_nothing_and_repeats_nothing(
    kind: DatabaseKind, direction: str, limit: int, start: int, between: list[list[Change]]
) -> None:
    asyncio.run(walk(kind, direction, limit, start, between))
