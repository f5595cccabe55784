"""The contract of a store for searches of batches, on every database."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from batchgate.engine.model.batch import BatchFilters, BatchOptions
from batchgate.engine.ports.store import Store
from batchgate.store import search_records
from tests.support.stored_rows import EMPTY, claimed, create, end, input_of, new_batch


async def create_named(
    store: Store,
    batch_id: str,
    *,
    name: str | None = None,
    metadata: dict[str, str] | None = None,
    at: int = 1000,
    **more: Any,
) -> int:
    """Store a batch with a name and metadata, and return its key."""
    options = BatchOptions(metadata=metadata) if name is None else BatchOptions(name=name, metadata=metadata)
    new = msgspec.structs.replace(new_batch(batch_id, at=at), options=options, **more)
    await store.add_orphan_blob(input_of(new))
    batch, _ = await store.create_batch(new)
    assert batch.options.batch_name == name
    return batch.key


async def found(
    store: Store, *, workspace: str = "w", after: int | None = None, limit: int = 99, **filters: Any
) -> str:
    """Return the ids on a page of a search, and the cursor of the next page if there is one."""
    page = await store.search_batches(workspace, BatchFilters(**filters), after=after, limit=limit)
    return "".join(batch.id for batch in page.batches) + ("" if page.next is None else f" then {page.next}")


async def test_a_search_without_filters_pages_through_all_batches_newest_first(store: Store) -> None:
    keys = {name: await create_named(store, name, at=at) for name, at in (("a", 5), ("b", 7), ("c", 7), ("d", 6))}
    assert await found(store) == "cbda"
    assert await found(store, limit=3) == "cbd then d"
    assert await found(store, limit=3, after=keys["d"]) == "a"
    assert await found(store, limit=1, after=keys["c"]) == "b then b"
    assert await found(store, limit=4) == "cbda"
    assert await found(store, workspace="other") == ""


async def test_metadata_is_found_by_any_of_its_pairs_and_only_as_a_whole(store: Store) -> None:
    await create_named(store, "a", metadata={"team": "search", "run": "7", 'a"b': "x\0", "Ä": "ö"}, at=1)
    await create_named(store, "b", metadata={"team": "search", 'q"uo.te': "100%", "path": "C:\\u0000"}, name="n", at=2)
    await create_named(store, "c", metadata={}, at=3)
    await create_named(store, "d", at=4)
    assert await found(store, metadata={"team": "search"}) in {"ba", "b"}  # PostgreSQL finds nothing beside a NUL
    assert await found(store, metadata={"team": "search", 'q"uo.te': "100%"}) == "b"
    assert await found(store, metadata={"team": "search"}, name="n") == "b"
    for unknown in ({"team": "searc"}, {"search": "team"}, {"team": "search", "run": "8"}, {"TEAM": "search"}):
        assert await found(store, metadata=unknown) == ""


async def test_each_filter_leaves_out_what_does_not_match(store: Store) -> None:
    await create_named(store, "a", name="n", at=1, model="m", providers=("p", "q"))
    await create_named(store, "b", name="n", at=2, model="o")
    await create_named(store, "c", at=3, model="m")
    batch, jobs = await create(store, "d", at=4)
    await end(store, batch, jobs)
    assert await found(store, name="n") == "ba"
    assert await found(store, name="N") == await found(store, name="none") == ""
    assert await found(store, model="m") == "ca"
    assert await found(store, status="ended") == "d"
    assert await found(store, status="in_progress") == "cba"
    assert await found(store, account="q") == "a"
    assert await found(store, created_after=2) == "dcb"
    assert await found(store, created_before=3) == "ba"
    assert await found(store, created_after=2, created_before=3) == "b"
    assert await found(store, name="n", model="m", status="in_progress", account="p", created_after=1) == "a"
    assert await found(store, name="n", account="x") == ""


async def test_a_batch_is_found_by_its_new_status_and_not_at_all_once_it_is_deleted(store: Store) -> None:
    batch, jobs = await create(store, "a", shards=1)
    key = await create_named(store, "b", at=999)
    await store.append_chunk(await claimed(store, jobs[0]), EMPTY, shard_done=True)
    await store.cancel_batch("w", "a", 1100)
    assert await found(store, status="canceling") == "a"
    await end(store, batch, [])
    assert (await found(store, status="canceling"), await found(store, status="ended")) == ("", "a")
    await store.delete_batch("w", "a", 1200)
    assert await found(store) == "b"
    assert await found(store, after=batch.key) == "b"
    assert await found(store, after=key) == ""


async def test_a_search_reads_a_bounded_number_of_batches_and_goes_on_where_it_stopped(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_records, "SCANNED", 3)
    keys = {name: await create_named(store, name, model="m" if name in "ag" else "o", at=1) for name in "abcdefg"}
    assert await found(store, account="p", limit=2) == "gf then f"
    assert await found(store, created_before=2, limit=9) == "gfe then e"
    assert await found(store, model="m") == "ga"
    await create_named(store, "h", name="n", at=1, providers=("q",))
    assert await found(store, account="p") == "gf then f"
    assert await found(store, account="q") == "h then f"
    assert await found(store, account="q", after=keys["f"]) == " then c"
    assert await found(store, account="q", after=keys["c"]) == ""


@pytest.mark.parametrize("field", ["name", "model", "account"])
@pytest.mark.parametrize("text", ["\0", "' OR 1=1 --", "%", "ä" * 50])
async def test_any_text_may_be_searched_for(store: Store, field: str, text: str) -> None:
    await create_named(store, "a", name="n", model="m")
    filters: dict[str, Any] = {field: text}
    assert await found(store, **filters) == ""
