"""The contract of `Store` for files, on every database."""

import pytest

from batchgate.engine.model.errors import StoreError
from batchgate.engine.model.file import NewFile
from batchgate.engine.ports.store import Store
from tests.support.stored_rows import create_file, file_page


async def test_a_file_is_read_back_as_it_was_created(store: Store) -> None:
    file = await create_file(store, "a", expires_at=5000, mime_type="text/plain")
    assert file.mime_type == "text/plain"
    assert await store.find_file("w", "a", 4999) == file
    assert (file.filename, file.size, file.sha256, file.created_at, file.expires_at) == ("f", 3, b"s", 1000, 5000)
    assert await store.find_file("other", "a", 0) is None
    assert await store.find_file_cursor("other", "a") is None
    assert await store.delete_file("other", "a", 0) is None


async def test_files_are_listed_in_both_orders_from_a_cursor_by_purpose_and_provider(store: Store) -> None:
    keys = []
    for name in "abcde":
        odd = name in "ac"
        file = await create_file(
            store, name, purpose="vision" if odd else "batch", provider="azure" if name == "a" else "openai"
        )
        keys.append(file.key)
    await create_file(store, "x", workspace="other")
    assert await file_page(store) == "edcba"
    assert await file_page(store, limit=2) == "ed+"
    assert await file_page(store, after=keys[3], limit=3) == "cba"
    assert await file_page(store, ascending=True, limit=2) == "ab+"
    assert await file_page(store, ascending=True, after=keys[1]) == "cde"
    assert await file_page(store, purpose="vision") == "ca"
    assert await file_page(store, purpose="vision", provider="azure") == "a"
    assert await file_page(store, provider="openai", after=keys[4]) == "dcb"


async def test_a_file_disappears_exactly_at_its_expiry_and_its_cursor_stays(store: Store) -> None:
    file = await create_file(store, "a", expires_at=5000)
    assert await file_page(store, now=4999) == "a"
    assert await file_page(store, now=5000) == ""
    assert await store.find_file("w", "a", 5000) is None
    assert await store.delete_file("w", "a", 5000) is None
    assert await store.next_due(4999, 10_000) == 5000
    assert await store.next_due(5000, 10_000) is None
    await store.expire_files(4999)
    assert await store.list_orphan_blobs() == []
    await store.expire_files(5000)
    assert list(await store.list_orphan_blobs()) == ["a/blob"]
    assert not await store.owns_blob("a", "a/blob")
    assert await store.find_file("w", "a", 0) is None
    assert await store.find_file_cursor("w", "a") == file.key


async def test_a_blob_is_an_orphan_until_a_file_owns_it_and_after_the_file_is_deleted(store: Store) -> None:
    file = await create_file(store, "a")
    assert await store.list_orphan_blobs() == []
    assert await store.owns_blob("a", "a/blob")
    assert not await store.owns_blob("b", "a/blob")
    assert await store.delete_file("w", "a", 7) == file
    assert await store.delete_file("w", "a", 8) is None
    assert list(await store.list_orphan_blobs()) == ["a/blob"]
    assert not await store.owns_blob("a", "a/blob")
    assert await store.find_file_cursor("w", "a") == file.key
    assert await file_page(store) == ""


async def test_a_file_whose_blob_has_been_removed_is_refused(store: Store) -> None:
    new = NewFile(
        id="a",
        workspace="w",
        provider="openai",
        purpose="batch",
        filename="f",
        size=3,
        sha256=b"s",
        created_at=1,
        expires_at=None,
        blob="a/blob",
    )
    with pytest.raises(StoreError, match="a/blob"):
        await store.create_file(new)
    assert await store.find_file("w", "a", 0) is None
