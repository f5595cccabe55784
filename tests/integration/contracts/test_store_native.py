"""The contract of `NativeJobStore`: plans, held shards, and the jobs of the native lane, on every database."""

import msgspec
import pytest

from batchgate.engine.model.batch import ValidatedInput
from batchgate.engine.model.errors import QuotaExceeded, StaleClaim, StoreError
from batchgate.engine.model.native_job import unpack_set
from batchgate.engine.model.price import Spend
from batchgate.engine.model.shard import QueuedShard
from batchgate.engine.model.usage import Counts, Usage
from batchgate.engine.ports.store import Store
from tests.support.databases import Database
from tests.support.native_jobs import ended, lane_part, planned, planned_with, taken, unplanned
from tests.support.stored_rows import EMPTY, chunk, claimed, create, end, new_batch


async def test_the_shards_of_a_batch_that_awaits_its_plan_are_not_enqueued_and_not_claimed(store: Store) -> None:
    batch = await unplanned(store, "a", shards=2)
    assert await store.unplanned_batches() == [batch.key]
    assert await store.unfinished_jobs() == []
    assert (await store.backlog()).waiting_shards == 0
    assert await store.claim_shard(QueuedShard(priority=0, batch_key=batch.key, shard=0)) is None
    assert len(await store.list_shards(batch)) == 2


async def test_a_batch_that_is_not_planned_runs_at_once(store: Store) -> None:
    _, jobs = await create(store, "a", shards=2)
    assert len(jobs) == 2
    assert await store.unplanned_batches() == []
    assert (await claimed(store, jobs[0])).withheld == frozenset()


async def test_a_batch_from_a_file_awaits_its_plan_after_its_validation(store: Store) -> None:
    new = msgspec.structs.replace(new_batch("a"), input_blob=None, shards=(), planned=True)
    batch, _ = await store.create_batch(new)
    assert await store.unplanned_batches() == []
    assert await store.save_plan(batch.key, [], []) is None
    await store.add_orphan_blob("a/input")
    validated = ValidatedInput(input_blob="a/input", shards=new_batch("a", shards=2).shards, providers=("p",))
    assert await store.start_batch(batch.key, validated, 1100) == []
    assert await store.unplanned_batches() == [batch.key]
    assert await store.unfinished_jobs() == []
    assert [job.shard for job in await store.save_plan(batch.key, [], []) or ()] == [0, 1]


async def test_a_plan_releases_the_shards_with_direct_requests_and_keeps_its_jobs(store: Store) -> None:
    batch = await unplanned(store, "a", shards=3)
    first, second = planned(batch, 0, 1, 2), planned(batch, 4)
    jobs = await store.save_plan(batch.key, [first, second], [1, 2]) or ()
    assert [(job.batch_key, job.shard) for job in jobs] == [(batch.key, 1), (batch.key, 2)]
    assert list(await store.unfinished_jobs()) == list(jobs)
    assert await store.unplanned_batches() == []
    kept = await store.jobs_of(batch.key)
    assert [msgspec.structs.replace(job, key=0) for job in kept] == [first, second]
    assert 0 < kept[0].key < kept[1].key


async def test_a_second_plan_changes_nothing(store: Store) -> None:
    batch = await unplanned(store, "a", shards=2)
    await store.save_plan(batch.key, [planned(batch, 0, 1)], [1])
    assert await store.save_plan(batch.key, [planned(batch, 2)], [0, 1]) is None
    assert [unpack_set(job.seqs) for job in await store.jobs_of(batch.key)] == [[0, 1]]
    assert [job.shard for job in await store.unfinished_jobs()] == [1]


async def test_the_first_plan_of_a_batch_keeps_its_lanes(store: Store) -> None:
    batch, other = await unplanned(store, "a"), await unplanned(store, "b")
    assert await store.lanes_of(batch.key) == ()
    await store.save_plan(batch.key, [planned(batch, 0)], [0], [lane_part(1), lane_part(3)])
    await store.save_plan(batch.key, [], [], [lane_part(9)])
    assert list(await store.lanes_of(batch.key)) == [lane_part(1), lane_part(3)]
    assert await store.lanes_of(other.key) == ()


async def test_a_batch_that_was_canceled_before_its_plan_has_no_lanes(store: Store) -> None:
    batch = await unplanned(store, "a")
    await store.cancel_batch("w", "a", 2)
    await store.save_plan(batch.key, [planned(batch, 0)], [], [lane_part()])
    assert await store.lanes_of(batch.key) == ()


async def test_a_plan_without_jobs_releases_all_shards(store: Store) -> None:
    batch = await unplanned(store, "a", shards=3)
    assert [job.shard for job in await store.save_plan(batch.key, [], []) or ()] == [0, 1, 2]


async def test_only_a_stored_batch_can_get_a_plan(store: Store) -> None:
    batch, _ = await create(store, "a")
    assert await store.save_plan(batch.key, [planned(batch, 0)], [0]) is None
    assert await store.save_plan(batch.key + 1, [], []) is None
    assert await store.jobs_of(batch.key) == []


async def test_a_batch_that_was_canceled_before_its_plan_gets_no_jobs_and_ends(store: Store) -> None:
    batch = await unplanned(store, "a", shards=2)
    await store.cancel_batch("w", "a", 2)
    assert await store.finalizable_batches() == []
    assert await store.unplanned_batches() == [batch.key]
    jobs = await store.save_plan(batch.key, [planned(batch, 0)], [1]) or ()
    assert [job.shard for job in jobs] == [0, 1]
    assert await store.jobs_of(batch.key) == []
    claims = [await claimed(store, job) for job in jobs]
    assert [claim.batch.status for claim in claims] == ["canceling"] * 2
    assert [await store.append_chunk(claim, EMPTY, shard_done=True) for claim in claims] == [False, True]


async def test_neither_cancel_nor_expiry_closes_held_shards(store: Store) -> None:
    batch, jobs = await planned_with(store, "a", [(0, 1)], direct=[1], shards=2)
    await store.expire_batch(batch.key, 1500)
    await store.cancel_batch("w", "a", 2)
    assert await store.claim_shard(jobs[0]) is None
    assert await store.finalizable_batches() == []
    (job,) = await store.take_jobs()
    (released,) = await store.end_job(ended(job, "withdrawn"))
    assert released.shard == 0
    assert await store.append_chunk(await claimed(store, released), EMPTY, shard_done=True) is True


async def test_a_cancel_leaves_a_released_shard_open_that_may_have_requests_of_an_active_job(store: Store) -> None:
    _, jobs = await planned_with(store, "a", [(1,)], direct=[0], shards=1)
    await store.cancel_batch("w", "a", 2)
    claim = await claimed(store, jobs[0])
    assert claim.withheld == {1}
    # Request 0 is not sent any more; request 1 may still have a result.
    assert await store.hold_shard(claim) is True
    await store.end_job(ended(await taken(store)))
    assert (await claimed(store, jobs[0])).withheld == frozenset()


async def test_a_claim_withholds_the_requests_of_active_jobs_without_a_result(store: Store) -> None:
    _, jobs = await planned_with(store, "a", [(1, 2, 5), (6, 7)], direct=[0, 1, 2], shards=4)
    claims = [await claimed(store, job) for job in jobs]
    assert [claim.withheld for claim in claims] == [{1}, {2}, {5}]
    job = (await store.take_jobs())[0]
    await store.append_native_results(job, {1: chunk(2)})
    again = await claimed(store, jobs[1])
    assert (again.finished, again.withheld) == (frozenset({2}), frozenset())
    await store.end_job(ended(job))
    assert (await claimed(store, jobs[2])).withheld == frozenset()


async def test_a_held_shard_runs_when_its_job_ends_and_then_has_what_the_job_left(store: Store) -> None:
    batch, jobs = await planned_with(store, "a", [(1,)], direct=[0])
    claim = await claimed(store, jobs[0])
    await store.append_chunk(claim, chunk(0), shard_done=False)
    assert await store.hold_shard(claim) is True
    assert await store.claim_shard(jobs[0]) is None
    assert await store.unfinished_jobs() == []
    assert (await store.backlog()).waiting_shards == 0
    assert list(await store.end_job(ended(await taken(store), "failed"))) == jobs
    assert list(await store.unfinished_jobs()) == jobs
    rest = await claimed(store, jobs[0])
    assert (rest.finished, rest.withheld) == (frozenset({0}), frozenset())
    assert rest.epoch > claim.epoch
    assert await store.append_chunk(rest, chunk(1), shard_done=True) is True
    assert await store.finalizable_batches() == [batch.key]


async def test_the_active_jobs_of_some_batches_are_read_together(store: Store) -> None:
    first, _ = await planned_with(store, "a", [(0,)], direct=[])
    await store.end_job(ended(await taken(store), "failed"))
    second, _ = await planned_with(store, "b", [(0,), (1,)], direct=[])
    third, _ = await planned_with(store, "c", [(0,)], direct=[])
    assert list(await store.active_jobs([first.key, second.key])) == list(await store.jobs_of(second.key))
    assert {job.batch_key for job in await store.active_jobs([second.key, third.key])} == {second.key, third.key}
    assert await store.active_jobs([]) == []


async def test_a_shard_is_not_held_if_its_job_has_ended_meanwhile(store: Store) -> None:
    _, jobs = await planned_with(store, "a", [(1,)], direct=[0])
    claim = await claimed(store, jobs[0])
    assert await store.end_job(ended(await taken(store))) == []
    assert await store.hold_shard(claim) is False
    assert (await store.backlog()).waiting_shards == 1
    assert (await claimed(store, jobs[0])).withheld == frozenset()


async def test_a_shard_is_not_held_if_only_one_of_its_jobs_is_left_or_a_job_of_other_shards(store: Store) -> None:
    _, jobs = await planned_with(store, "a", [(0,), (1,), (2,)], direct=[0], shards=2)
    claim = await claimed(store, jobs[0])
    first, second, _ = await store.take_jobs()
    await store.end_job(ended(first))
    assert await store.hold_shard(claim) is False
    claim = await claimed(store, jobs[0])
    assert claim.withheld == {1}
    await store.end_job(ended(second))
    assert await store.hold_shard(claim) is False


async def test_a_shard_is_not_held_if_it_has_all_results(store: Store) -> None:
    _, jobs = await planned_with(store, "a", [(1,)], direct=[0])
    claim = await claimed(store, jobs[0])
    await store.append_native_results(await taken(store), {0: chunk(1)})
    await store.append_chunk(claim, chunk(0), shard_done=False)
    assert await store.hold_shard(claim) is False
    assert await store.append_chunk(await claimed(store, jobs[0]), EMPTY, shard_done=True) is True


async def test_a_claim_that_was_lost_holds_nothing(store: Store) -> None:
    _, jobs = await planned_with(store, "a", [(1,)], direct=[0])
    stale = await claimed(store, jobs[0])
    fresh = await claimed(store, jobs[0])
    assert await store.hold_shard(stale) is False
    await store.append_chunk(fresh, chunk(0), shard_done=False)
    assert await store.hold_shard(fresh) is True


async def test_the_end_of_a_job_releases_only_the_held_shards_with_requests_of_it(store: Store) -> None:
    # The second job lies between the requests of the first: its shard is within their range, but has none of them.
    _, jobs = await planned_with(store, "a", [(0, 1, 4, 5, 7), (2, 3)], direct=[3], shards=4)
    claim = await claimed(store, jobs[0])
    first, second = await store.take_jobs()
    assert [job.shard for job in await store.end_job(ended(first))] == [0, 2]
    assert await store.hold_shard(claim) is False
    assert [job.shard for job in await store.end_job(ended(second))] == [1]


async def test_results_of_jobs_count_as_results_of_workers_do_and_end_no_shard(store: Store) -> None:
    batch, _ = await planned_with(store, "a", [(0, 1), (2, 3)], direct=[], shards=2)
    first, second = await store.take_jobs()
    usage = Usage(input_tokens=5, cached_tokens=4, output_tokens=3, reasoning_tokens=2)
    errored = msgspec.structs.replace(chunk(1, errored=1), spend=Spend(native=7, saved=6, unpriced=1), usage=usage)
    succeeded = msgspec.structs.replace(chunk(0), spend=Spend(native=3, saved=3), usage=usage)
    await store.append_native_results(first, {0: errored})
    await store.append_native_results(first, {0: succeeded})
    await store.append_native_results(second, {1: chunk(2, 3)})
    found = await store.find_batch_by_key(batch.key)
    assert found is not None
    assert found.counts == Counts(total=4, succeeded=3, errored=1)
    assert found.usage == Usage(input_tokens=10, cached_tokens=8, output_tokens=6, reasoning_tokens=4)
    assert found.spend == Spend(native=10, saved=9, unpriced=1)
    assert [one.seqs for one in await store.read_chunks(batch.key, 0)] == [(1,), (0,)]
    assert await store.finished_of(first) >= {0, 1}
    assert await store.finalizable_batches() == []


async def test_results_of_a_job_and_of_a_worker_share_a_shard(store: Store) -> None:
    batch, jobs = await planned_with(store, "a", [(1,)], direct=[0])
    claim, job = await claimed(store, jobs[0]), await taken(store)
    await store.append_native_results(job, {0: chunk(1)})
    await store.append_chunk(claim, chunk(0), shard_done=True)
    assert [one.seqs for one in await store.read_chunks(batch.key, 0)] == [(1,), (0,)]
    with pytest.raises(StaleClaim, match="shard 0 is done"):
        await store.append_native_results(job, {0: chunk(1)})
    found = await store.find_batch_by_key(batch.key)
    assert found is not None
    assert found.counts == Counts(total=2, succeeded=2)


async def test_results_for_several_shards_are_stored_together_or_not_at_all(store: Store) -> None:
    batch, jobs = await planned_with(store, "a", [(0, 3)], direct=[0, 1], shards=2)
    job, claim = await taken(store), await claimed(store, jobs[1])
    await store.append_native_results(job, {0: chunk(0), 1: chunk(3)})
    assert await store.finished_of(job) == {0, 3}
    await store.append_chunk(claim, chunk(2), shard_done=True)
    with pytest.raises(StaleClaim, match="shard 1 is done"):
        await store.append_native_results(job, {0: chunk(1), 1: chunk(3)})
    assert await store.finished_of(job) == {0, 2, 3}
    found = await store.find_batch_by_key(batch.key)
    assert found is not None
    assert found.counts == Counts(total=4, succeeded=3)


async def test_taking_the_jobs_fences_off_whoever_had_them(store: Store) -> None:
    batch, _ = await planned_with(store, "a", [(0, 1)], direct=[])
    old = await taken(store)
    new = await taken(store)
    assert new == msgspec.structs.replace(old, epoch=old.epoch + 1)
    with pytest.raises(StaleClaim, match=old.token):
        await store.save_job(msgspec.structs.replace(old, state="running"))
    with pytest.raises(StaleClaim):
        await store.append_native_results(old, {0: chunk(0)})
    with pytest.raises(StaleClaim):
        await store.end_job(ended(old))
    assert list(await store.jobs_of(batch.key)) == [new]
    assert await store.read_chunks(batch.key, 0) == []
    await store.append_native_results(new, {0: chunk(0)})


async def test_the_changed_fields_of_an_active_job_are_kept(store: Store) -> None:
    batch, _ = await planned_with(store, "a", [(0,)], direct=[])
    changed = msgspec.structs.replace(
        await taken(store),
        state="running",
        credential="hash",
        upstream_file="file-1",
        upstream_id="batch_1",
        upstream_status="in_progress",
        creating_at=5,
        submitted_at=6,
        cancel_requested_at=7,
        refusals=2,
        answered=1,
        reason="why",
    )
    await store.save_job(changed)
    assert list(await store.jobs_of(batch.key)) == [changed]


async def test_a_job_that_has_ended_is_kept_but_not_taken_and_not_changed(store: Store) -> None:
    batch, _ = await planned_with(store, "a", [(0,), (1,)], direct=[])
    first, second = await store.take_jobs()
    await store.end_job(ended(first, "failed"))
    with pytest.raises(StaleClaim):
        await store.save_job(msgspec.structs.replace(first, state="running"))
    with pytest.raises(StaleClaim):
        await store.append_native_results(first, {0: chunk(0)})
    with pytest.raises(StaleClaim):
        await store.end_job(ended(first, "done"))
    assert await store.end_job(ended(first, "failed")) == []
    assert [job.key for job in await store.take_jobs()] == [second.key]
    assert [job.state for job in await store.jobs_of(batch.key)] == ["failed", "planned"]


async def test_plans_and_jobs_survive_a_restart(database: Database) -> None:
    async with database.store() as store:
        waiting = await unplanned(store, "a")
        batch, jobs = await planned_with(store, "b", [(1,)], direct=[0])
        assert await store.hold_shard(await claimed(store, jobs[0])) is True
    async with database.store() as store:
        assert await store.unplanned_batches() == [waiting.key]
        assert await store.unfinished_jobs() == []
        job = await taken(store)
        assert (job.batch_key, unpack_set(job.seqs)) == (batch.key, [1])
        assert list(await store.end_job(ended(job))) == jobs


@pytest.mark.parametrize("removal", ["delete", "archive"])
async def test_the_plan_of_an_ended_batch_is_kept_until_it_is_deleted_or_archived(store: Store, removal: str) -> None:
    batch = await unplanned(store, "a")
    jobs = list(await store.save_plan(batch.key, [planned(batch, 0)], [0], [lane_part()]) or ())
    other, _ = await planned_with(store, "b", [(1,)], direct=[])
    job = (await store.take_jobs())[0]
    await store.end_job(ended(job))
    await end(store, batch, jobs)
    assert [job.state for job in await store.jobs_of(batch.key)] == ["done"]
    assert len(await store.lanes_of(batch.key)) == 1
    if removal == "delete":
        await store.delete_batch("w", "a", 3000)
    else:
        await store.archive_batch(batch.key, 3000)
    assert (await store.jobs_of(batch.key), await store.lanes_of(batch.key)) == ([], ())
    assert len(await store.jobs_of(other.key)) == 1


async def test_a_planned_batch_beyond_the_quotas_leaves_no_rows(database: Database) -> None:
    async with database.store() as store:
        await store.tenants.ensure_workspaces(["w"], 1)
        assert await store.tenants.update_quotas("w", {"queued_requests": 3}, 2000) is not None
        first = await unplanned(store, "a")
        with pytest.raises(QuotaExceeded):
            await unplanned(store, "b")
        assert await store.unplanned_batches() == [first.key]
        assert await store.find_batch("w", "b") is None


async def test_a_plan_in_which_a_token_repeats_is_refused_as_a_whole(store: Store) -> None:
    batch = await unplanned(store, "a")
    job = planned(batch, 0)
    with pytest.raises(StoreError):
        await store.save_plan(batch.key, [job, job], [])
    assert await store.unplanned_batches() == [batch.key]


async def test_the_ids_that_jobs_of_any_batch_have_upstream_are_known(store: Store) -> None:
    for name, upstream_id in (("a", "active"), ("b", "ended")):
        await planned_with(store, name, [(0, 1)], direct=[])
        (job,) = await store.take_jobs(new_only=True)
        running = msgspec.structs.replace(job, state="running", upstream_id=upstream_id)
        await store.save_job(running)
        if upstream_id == "ended":
            await store.end_job(ended(running))
    assert await store.known_upstream_ids(["active", "ended", "foreign"]) == {"active", "ended"}
    assert await store.known_upstream_ids([]) == frozenset()


async def test_an_ended_job_is_uncleaned_until_it_is_marked(store: Store) -> None:
    await planned_with(store, "a", [(0,), (1,)], direct=[])
    first, second = await store.take_jobs()
    assert await store.uncleaned_jobs(0) == []
    await store.end_job(msgspec.structs.replace(ended(first), cleaned=True))
    await store.end_job(ended(second, "withdrawn"))
    (job,) = await store.uncleaned_jobs(1999)
    assert job == ended(second, "withdrawn")
    assert await store.uncleaned_jobs(2000) == []
    await store.mark_cleaned(msgspec.structs.replace(job, upstream_id="found late"))
    assert await store.uncleaned_jobs(0) == []
    assert await store.known_upstream_ids(["found late"]) == {"found late"}
