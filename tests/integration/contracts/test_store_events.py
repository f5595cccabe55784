"""The contract of `EventStore`, on every database: what is unfinished, and what has happened since a time."""

from __future__ import annotations

from batchgate.engine.model.steering import Pause, Resume
from batchgate.store.postgres import PostgresStore
from batchgate.store.sqlite import SqliteStore
from tests.support.stored_rows import create, end

AnyStore = SqliteStore | PostgresStore


async def found(store: AnyStore, *, since: int = 0, limit: int = 9) -> str:
    batches = await store.events.recent_batches("w", ended_since=since, limit=limit)
    return " ".join(sorted(batch.id for batch in batches))


async def test_unfinished_batches_are_found_and_those_that_have_ended_since_a_time(store: AnyStore) -> None:
    assert await found(store) == ""
    for name, ended_at in (("a", 2000), ("b", 3000), ("c", None), ("d", None)):
        batch, jobs = await create(store, name)
        if ended_at is not None:
            await end(store, batch, jobs, now=ended_at)
    await create(store, "other", workspace="v")
    assert await found(store, since=2000) == "a b c d"
    assert await found(store, since=2001) == "b c d"
    assert await found(store, since=3001) == "c d"
    assert await found(store, since=0, limit=1) == "b d"
    assert await store.delete_batch("w", "b", 4000) is not None
    assert await found(store, since=2000) == "a c d"


async def test_actions_since_a_time_are_found_with_their_batches_in_their_order(store: AnyStore) -> None:
    await create(store, "a")
    batch, jobs = await create(store, "b")
    await create(store, "other", workspace="v")
    for name, workspace, now in (("a", "w", 1100), ("b", "w", 1050), ("other", "v", 1200)):
        await store.steering.steer_batch(workspace, name, Pause(), by="key", now=now)
    await store.steering.steer_batch("w", "b", Resume(), by="", now=1300)

    async def since(moment: int, limit: int = 9) -> list[tuple[str, int, str, str]]:
        actions = await store.events.recent_actions("w", since=moment, limit=limit)
        return [(batch_id, entry.at, entry.action, entry.by) for batch_id, entry in actions]

    paused = [("b", 1050, "paused", "key"), ("a", 1100, "paused", "key")]
    assert await since(0) == [*paused, ("b", 1300, "resumed", "")]
    assert await since(1051) == [paused[1], ("b", 1300, "resumed", "")]
    assert await since(0, limit=1) == paused[:1]
    await end(store, batch, jobs, now=1200)
    assert await since(1100) == [paused[1], ("b", 1300, "resumed", "")]
    assert await since(1201) == []
