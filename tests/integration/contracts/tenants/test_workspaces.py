"""The contract of `TenantStore` for workspaces, on every database."""

import asyncio

import pytest

from batchgate.engine.model.errors import RefusedError
from batchgate.engine.model.workspace import Quotas, Workspace
from tests.integration.contracts.tenants.stored_rows import (
    NOW,
    AnyStore,
    a_key,
    create,
    end,
    new_batch,
    run,
    upload,
)


async def test_a_workspace_is_read_back_as_it_was_created(store: AnyStore) -> None:
    quotas = Quotas(
        queued_requests=1,
        concurrent_batches=0,
        stored_bytes=10**15,
        files=2,
        creates_per_minute=3,
        monthly_spend=10**18,
    )
    new = Workspace(name="research", created_at=NOW, quotas=quotas)
    assert await store.tenants.create_workspace(new)
    assert await store.tenants.find_workspace("research") == new
    assert not await store.tenants.create_workspace(new)


@pytest.mark.parametrize("name", ["W", "w ", "nobody", "", "w\0"])
async def test_an_unknown_workspace_is_not_found(store: AnyStore, name: str) -> None:
    assert await store.tenants.find_workspace(name) is None
    assert await store.tenants.update_quotas(name, {"stored_bytes": 1}, NOW) is None
    assert not await store.tenants.archive_workspace(name, NOW)


async def test_workspaces_are_listed_by_the_bytes_of_their_names(store: AnyStore) -> None:
    for name in ("Z", "a", "ä", "B", "_"):
        await store.tenants.create_workspace(Workspace(name=name, created_at=NOW))
    names = ["B", "Z", "_", "a", "v", "w", "ä"]
    page = await store.tenants.list_workspaces(after=None, limit=4)
    assert ([workspace.name for workspace in page.workspaces], page.has_more) == (names[:4], True)
    page = await store.tenants.list_workspaces(after="a", limit=3)
    assert ([workspace.name for workspace in page.workspaces], page.has_more) == (names[4:], False)


async def test_concurrent_changes_of_different_quotas_are_all_kept(store: AnyStore) -> None:
    changes: list[dict[str, int | None]] = [{name: 7} for name in Quotas.__struct_fields__]
    await asyncio.gather(*(store.tenants.update_quotas("w", change, NOW) for change in changes))
    changed = await store.tenants.update_quotas("w", {"stored_bytes": None}, NOW)
    assert changed is not None
    sevens = dict.fromkeys(Quotas.__struct_fields__, 7)
    assert changed.quotas == Quotas(**(sevens | {"stored_bytes": None}))


async def test_an_empty_workspace_is_archived_and_its_name_is_not_reused(store: AnyStore) -> None:
    key = await create(store, new_batch("a"))
    await upload(store, "f", 5)
    await store.tenants.create_key(a_key(), first=False)
    with pytest.raises(RefusedError, match="still has batches and files and keys"):
        await store.tenants.archive_workspace("w", NOW)
    await run(store, key, succeeded=2)
    await end(store, key, size=1)
    await store.delete_batch("w", "a", NOW)
    await store.delete_file("w", "f", NOW)
    with pytest.raises(RefusedError, match="still has keys; delete"):
        await store.tenants.archive_workspace("w", NOW)
    await store.tenants.revoke_key("key_k", NOW, another_admin=True)
    assert await store.tenants.archive_workspace("w", NOW)
    assert await store.tenants.find_workspace("w") is None
    assert [found.name for found in (await store.tenants.list_workspaces(after=None, limit=9)).workspaces] == ["v"]
    assert not await store.tenants.create_workspace(Workspace(name="w", created_at=NOW))
    with pytest.raises(RefusedError, match="no workspace 'w'"):
        await store.tenants.create_key(a_key("other"), first=False)
    await store.tenants.ensure_workspaces(["w"], NOW)
    assert await store.tenants.find_workspace("w") is not None
