"""The contract of `SteeringStore`, on every database, and what a pause means for the other parts of the store."""

from collections.abc import Sequence
from typing import get_args

import msgspec
import pytest

from batchgate.engine.model.batch import BatchPause
from batchgate.engine.model.concurrency_cap import ConcurrencyCap
from batchgate.engine.model.priority import Contender, Priority
from batchgate.engine.model.steering import (
    TIMELINE_ENTRIES,
    MoveDeadline,
    Pause,
    Resume,
    SetConcurrency,
    SetPriority,
)
from batchgate.store.postgres import PostgresStore
from batchgate.store.sqlite import SqliteStore
from tests.support.native_jobs import ended, planned_with, taken
from tests.support.stored_rows import EMPTY, chunk, claimed, create, end

SteerableStore = SqliteStore | PostgresStore
PAUSE = Pause(reason="why")


async def pause(store: SteerableStore, batch_id: str, *, now: int = 1100) -> None:
    await store.steering.steer_batch("w", batch_id, PAUSE, by="key", now=now)


async def prioritize(store: SteerableStore, batch_id: str, priority: Priority, *, now: int = 1100) -> None:
    await store.steering.steer_batch("w", batch_id, SetPriority(priority=priority), by="key", now=now)


async def contenders(store: SteerableStore) -> dict[int, tuple[str, str]]:
    return {key: (found.workspace, found.priority) for key, found in (await store.steering.contenders()).items()}


async def actions(store: SteerableStore, batch_key: int) -> Sequence[tuple[int, str, str, str | None]]:
    return [(entry.at, entry.action, entry.by, entry.detail) for entry in await store.steering.timeline(batch_key)]


async def test_a_pause_is_stored_with_who_when_and_why_and_a_second_one_changes_nothing(store: SteerableStore) -> None:
    batch, _ = await create(store, "a")
    paused = await store.steering.steer_batch("w", "a", PAUSE, by="key", now=1100)
    again = await store.steering.steer_batch("w", "a", Pause(reason="other"), by="second", now=1200)
    assert paused is not None
    assert paused.pause is not None
    assert (paused.pause.since, paused.pause.by, paused.pause.reason) == (1100, "key", "why")
    assert again == paused == await store.find_batch("w", "a")
    assert await store.steering.suspended_batches() == [batch.key]
    assert await actions(store, batch.key) == [(1100, "paused", "key", "why")]


async def test_another_pause_only_changes_what_happens_to_native_jobs(store: SteerableStore) -> None:
    batch, _ = await create(store, "a")
    await pause(store, "a")
    for jobs in ("cancel", "cancel", None, "wait"):
        await store.steering.steer_batch("w", "a", Pause(reason="other", native_jobs=jobs), by="second", now=1200)
    found = await store.find_batch("w", "a")
    assert found is not None
    assert found.pause == BatchPause(code="requested", reason="why", since=1100, by="key", native_jobs="wait")
    assert await actions(store, batch.key) == [
        (1100, "paused", "key", "why"),
        (1200, "paused", "second", "native jobs: cancel"),
        (1200, "paused", "second", "native jobs: wait"),
    ]
    assert await store.steering.latest_actions([batch.key, batch.key + 1]) == {batch.key: 3}


async def test_a_pause_since_results_cannot_be_reused_replaces_a_requested_one_and_no_other(
    store: SteerableStore,
) -> None:
    batch, _ = await create(store, "a")
    await pause(store, "a")
    for action in (Pause(code="reuse_failed", reason="deleted"), Pause(code="reuse_failed", reason="again"), PAUSE):
        await store.steering.steer_batch("w", "a", action, by="", now=1200)
    found = await store.find_batch("w", "a")
    assert found is not None
    assert found.pause is not None
    assert (found.pause.code, found.pause.reason) == ("reuse_failed", "deleted")
    assert [entry[3] for entry in await actions(store, batch.key)] == ["why", "deleted"]


async def test_a_batch_is_resumed_once(store: SteerableStore) -> None:
    batch, _ = await create(store, "a")
    await pause(store, "a")
    for now in (1200, 1300):
        assert await store.steering.steer_batch("w", "a", Resume(), by="", now=now) == batch
    assert await store.steering.suspended_batches() == []
    assert await actions(store, batch.key) == [(1100, "paused", "key", "why"), (1200, "resumed", "", None)]


async def test_a_batch_of_another_workspace_is_neither_found_nor_changed(store: SteerableStore) -> None:
    batch, _ = await create(store, "a")
    assert await store.steering.steer_batch("other", "a", PAUSE, by="key", now=1100) is None
    assert await store.find_batch("w", "a") == batch
    assert await actions(store, batch.key) == []


@pytest.mark.parametrize("paused", ["before", "after"])
async def test_a_paused_batch_ends_when_jobs_have_answered_all_of_its_requests(
    store: SteerableStore, paused: str
) -> None:
    batch, _ = await planned_with(store, "a", [(0, 1, 2), (3,)], direct=[], shards=2)
    first, second = await store.take_jobs()
    if paused == "before":
        await pause(store, "a")
    await store.append_native_results(first, {0: chunk(0, 1), 1: chunk(2)})
    await store.end_job(ended(first))
    assert await store.finalizable_batches() == []
    expired = msgspec.structs.replace(chunk(3), succeeded=0)
    await store.append_native_results(second, {1: expired})
    await store.end_job(ended(second))
    if paused == "after":
        assert await store.finalizable_batches() == []  # workers would finish its shards
        await pause(store, "a")
    assert await store.finalizable_batches() == [batch.key]


async def test_a_paused_batch_ends_when_a_worker_releases_a_shard_that_a_job_has_answered_meanwhile(
    store: SteerableStore,
) -> None:
    batch, (queued,) = await planned_with(store, "a", [(0,)], direct=[0])
    job, claim = await taken(store), await claimed(store, queued)
    await pause(store, "a")
    await store.append_native_results(job, {0: chunk(0)})
    await store.append_chunk(claim, chunk(1), shard_done=False)
    await store.end_job(ended(job))
    assert await store.finalizable_batches() == []
    assert await store.hold_shard(claim) is False
    assert await store.finalizable_batches() == [batch.key]


async def test_no_shard_of_a_paused_batch_is_claimed_and_an_earlier_claim_still_writes(store: SteerableStore) -> None:
    _, (first, second) = await create(store, "a", shards=2)
    claim = await claimed(store, first)
    await pause(store, "a")
    assert await store.claim_shard(second) is None
    assert await store.unfinished_jobs() == []
    await store.append_chunk(claim, chunk(0), shard_done=False)
    await store.release_shard(claim)
    await store.steering.steer_batch("w", "a", Resume(), by="", now=1200)
    assert list(await store.unfinished_jobs()) == [first, second]
    assert (await claimed(store, first)).finished == {0}


async def test_shards_of_paused_batches_do_not_count_as_waiting(store: SteerableStore) -> None:
    await create(store, "a", shards=2)
    await create(store, "b", shards=3)
    await pause(store, "a")
    assert (await store.backlog()).waiting_shards == 3


async def test_the_claim_of_a_dead_process_does_not_keep_a_paused_batch_from_being_canceled(
    store: SteerableStore,
) -> None:
    # The shard stayed claimed, and a cancel closes only shards without a claim. Nobody ran it any more.
    batch, (job,) = await create(store, "a")
    await claimed(store, job)
    await pause(store, "a")
    assert await store.claim_shard(job) is None
    canceled = await store.cancel_batch("w", "a", 1200)
    assert canceled is not None
    assert (canceled.status, canceled.pause) == ("canceling", None)
    assert await store.finalizable_batches() == [batch.key]


async def test_a_batch_whose_deadline_moves_after_the_sweeper_read_it_does_not_expire(
    store: SteerableStore,
) -> None:
    # Once, the caller was answered with the new deadline, and the batch expired at the old one.
    batch, (job,) = await create(store, "a")
    overdue = await store.overdue_batches(1500)
    await store.steering.steer_batch("w", "a", MoveDeadline(expires_at=9000), by="", now=1499)
    assert [await store.expire_batch(key, 1500) for key in overdue] == [False]
    assert await store.finalizable_batches() == []
    await claimed(store, job)
    assert await store.expire_batch(batch.key, 9000) is True


async def test_the_expiry_of_a_paused_batch_ends_its_pause(store: SteerableStore) -> None:
    batch, _ = await create(store, "a")
    await pause(store, "a")
    assert await store.overdue_batches(1500) == [batch.key]
    await store.expire_batch(batch.key, 1500)
    assert await store.steering.suspended_batches() == []
    assert await store.finalizable_batches() == [batch.key]


async def test_a_batch_that_is_canceling_or_has_ended_is_not_paused(store: SteerableStore) -> None:
    batch, (job,) = await create(store, "a")
    claim = await claimed(store, job)
    await store.cancel_batch("w", "a", 1050)
    await pause(store, "a")
    await store.append_chunk(claim, EMPTY, shard_done=False)
    await end(store, batch, [job])
    await pause(store, "a")
    assert await store.steering.suspended_batches() == []
    assert await actions(store, batch.key) == []


async def test_a_batch_that_ends_while_it_is_paused_is_no_longer_paused(store: SteerableStore) -> None:
    batch, (job,) = await create(store, "a")
    claim = await claimed(store, job)
    await pause(store, "a")
    assert await store.append_chunk(claim, chunk(0, 1), shard_done=True)
    await end(store, batch, [])
    found = await store.find_batch("w", "a")
    assert found is not None
    assert (found.status, found.pause) == ("ended", None)


async def test_a_timeline_keeps_the_latest_entries_until_the_batch_is_deleted(store: SteerableStore) -> None:
    batch, jobs = await create(store, "a")
    for turn in range(TIMELINE_ENTRIES):
        await pause(store, "a", now=2 * turn)
        await store.steering.steer_batch("w", "a", Resume(), by="", now=2 * turn + 1)
    found = await store.steering.timeline(batch.key)
    assert [entry.at for entry in found] == list(range(TIMELINE_ENTRIES, 2 * TIMELINE_ENTRIES))
    await end(store, batch, jobs)
    await store.delete_batch("w", "a", 3000)
    assert await actions(store, batch.key) == []


async def test_a_priority_is_stored_with_who_and_when_and_a_second_time_changes_nothing(store: SteerableStore) -> None:
    batch, _ = await create(store, "a")
    assert batch.priority == "normal"
    for now in (1100, 1200):
        await prioritize(store, "a", "high", now=now)
    found = await store.find_batch("w", "a")
    assert found is not None
    assert found.priority == "high"
    assert await actions(store, batch.key) == [(1100, "priority_changed", "key", "high")]


async def test_batches_contend_while_they_differ_in_priority_within_their_workspace(store: SteerableStore) -> None:
    first, _ = await create(store, "a")
    second, _ = await create(store, "b")
    await create(store, "c", workspace="other")
    await prioritize(store, "b", "high")
    assert await contenders(store) == {first.key: ("w", "normal"), second.key: ("w", "high")}
    await prioritize(store, "a", "high")
    assert await contenders(store) == {}, "they are equal"
    await prioritize(store, "a", "low")
    assert await contenders(store) == {first.key: ("w", "low"), second.key: ("w", "high")}


async def test_a_batch_contends_beside_all_workspaces_until_it_is_normal(store: SteerableStore) -> None:
    batch, _ = await create(store, "a")
    await create(store, "b")
    for priority in (*get_args(Priority), "high"):
        raised = await store.steering.steer_batch(
            "w", "a", SetPriority(priority=priority, scope="gateway"), by="", now=1
        )
        assert raised is not None
        assert raised == await store.find_batch("w", "a")
        found = Contender(workspace="w", priority=priority, scope="gateway")
        assert await store.steering.contenders() == ({} if priority == "normal" else {batch.key: found})
    assert [entry[3] for entry in await actions(store, batch.key)] == [
        "low beside all workspaces",
        "normal",
        "high beside all workspaces",
    ]
    await prioritize(store, "a", "high")
    assert set((await contenders(store)).values()) == {("w", "high"), ("w", "normal")}


async def test_a_batch_contends_only_while_it_has_shards_to_send_and_is_not_paused(store: SteerableStore) -> None:
    await create(store, "a")
    second, jobs = await create(store, "b")
    third, _ = await create(store, "c")
    await prioritize(store, "b", "high")
    await pause(store, "a")
    assert set(await contenders(store)) == {second.key, third.key}
    await pause(store, "c")
    assert await contenders(store) == {}, "it is alone"
    for batch_id in ("a", "c"):
        await store.steering.steer_batch("w", batch_id, Resume(), by="", now=1200)
    assert len(await contenders(store)) == 3
    await end(store, second, jobs)
    assert await contenders(store) == {}


async def test_a_batch_that_has_stopped_keeps_its_priority(store: SteerableStore) -> None:
    batch, _ = await create(store, "a")
    await store.cancel_batch("w", "a", 1050)
    await prioritize(store, "a", "high")
    found = await store.find_batch("w", "a")
    assert found is not None
    assert found.priority == "normal"
    assert await actions(store, batch.key) == []


async def test_the_cap_of_a_batch_is_read_with_how_often_it_was_changed_until_the_batch_has_ended(
    store: SteerableStore,
) -> None:
    batch, jobs = await create(store, "a")
    await create(store, "b")
    assert await store.steering.concurrency_caps() == {}
    for at, limit in ((1100, 3), (1200, 3), (1300, None)):
        changed = await store.steering.steer_batch("w", "a", SetConcurrency(limit=limit), by="key", now=at)
        assert changed is not None
        assert changed == await store.find_batch("w", "a")
        assert await store.steering.concurrency_caps() == {batch.key: changed.cap}
    removed = {batch.key: ConcurrencyCap(None, 2)}
    assert await store.steering.concurrency_caps() == removed, "workers must learn it"
    assert await actions(store, batch.key) == [
        (1100, "concurrency_changed", "key", "3"),
        (1300, "concurrency_changed", "key", "none"),
    ]
    await end(store, batch, list(jobs))
    assert await store.steering.concurrency_caps() == {}
    again = await store.steering.steer_batch("w", "a", SetConcurrency(limit=5), by="key", now=1400)
    assert again is not None
    assert again.cap.limit is None
