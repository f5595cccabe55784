"""The contract of a store for the budgets of batches, on every database."""

import msgspec
import pytest

from batchgate.engine.model.batch import Batch, BatchOptions
from batchgate.engine.model.errors import StaleClaim
from batchgate.engine.model.price import Spend
from batchgate.engine.model.shard import QueuedShard, ResultChunk
from batchgate.engine.model.steering import ChangeBudget, Pause, Resume
from batchgate.store.postgres import PostgresStore
from batchgate.store.sqlite import SqliteStore
from tests.support.native_jobs import planned, taken
from tests.support.stored_rows import chunk, claimed, end, input_of, new_batch

SteerableStore = SqliteStore | PostgresStore
BUDGET = 10
AT = 1100


def paid(*seqs: int, cost: int = 0, unpriced: int = 0) -> ResultChunk:
    """Return answers that have cost so many nano-dollars together."""
    return msgspec.structs.replace(chunk(*seqs), spend=Spend(direct=cost, unpriced=unpriced), at=AT)


async def create(
    store: SteerableStore, *, budget: int = BUDGET, planned: bool = False
) -> tuple[Batch, list[QueuedShard]]:
    new = new_batch("b", shards=3)
    new = msgspec.structs.replace(new, options=BatchOptions(budget=budget), planned=planned)
    await store.add_orphan_blob(input_of(new))
    batch, jobs = await store.create_batch(new)
    assert batch.budget == budget
    return batch, list(jobs)


async def pause_of(store: SteerableStore) -> tuple[str, str | None] | None:
    batch = await store.find_batch("w", "b")
    assert batch is not None
    return None if batch.pause is None else (batch.pause.code, batch.pause.by)


async def change(store: SteerableStore, budget: int | None) -> Batch:
    changed = await store.steering.steer_batch("w", "b", ChangeBudget(budget=budget), by="key", now=AT)
    assert changed is not None
    assert changed == await store.find_batch("w", "b")
    return changed


async def test_a_batch_is_paused_by_the_results_whose_cost_reaches_its_budget(store: SteerableStore) -> None:
    batch, jobs = await create(store)
    claim = await claimed(store, jobs[0])
    await store.append_chunk(claim, paid(0, cost=BUDGET - 1), shard_done=False)
    assert await pause_of(store) is None
    await store.append_chunk(claim, paid(1, cost=1), shard_done=True)
    assert await pause_of(store) == ("budget_reached", "")
    assert await store.claim_shard(jobs[1]) is None
    reason = "its budget of $0.00000001 is reached: $0.00000001 are spent"
    assert [(entry.at, entry.action, entry.detail) for entry in await store.steering.timeline(batch.key)] == [
        (AT, "paused", reason)
    ]


async def test_results_that_are_not_stored_do_not_count(store: SteerableStore) -> None:
    _, jobs = await create(store)
    stale, _ = await claimed(store, jobs[0]), await claimed(store, jobs[0])
    with pytest.raises(StaleClaim):
        await store.append_chunk(stale, paid(0, cost=BUDGET), shard_done=False)
    assert await pause_of(store) is None


async def test_a_batch_whose_budget_is_reached_is_resumed_by_a_higher_budget_alone(store: SteerableStore) -> None:
    batch, jobs = await create(store)
    await store.append_chunk(await claimed(store, jobs[0]), paid(0, 1, cost=BUDGET), shard_done=True)
    resumed = await store.steering.steer_batch("w", "b", Resume(), by="key", now=AT)
    assert resumed is not None
    assert resumed.pause is not None
    assert (await change(store, BUDGET - 1)).pause == resumed.pause
    assert (await change(store, BUDGET + 1)).pause is None
    assert len(await store.unfinished_jobs()) == len(jobs) - 1
    await store.append_chunk(await claimed(store, jobs[1]), paid(2, cost=1), shard_done=False)
    assert await pause_of(store) == ("budget_reached", "")
    assert (await change(store, None)).pause is None
    details = [(entry.action, entry.by) for entry in await store.steering.timeline(batch.key)]
    assert details == [("paused", "")] + 2 * [("budget_changed", "key")] + [("paused", ""), ("budget_changed", "key")]


async def test_another_budget_leaves_the_pause_of_a_caller_alone(store: SteerableStore) -> None:
    _, jobs = await create(store)
    claim = await claimed(store, jobs[0])
    await store.steering.steer_batch("w", "b", Pause(), by="other", now=AT)
    await store.append_chunk(claim, paid(0, 1, cost=BUDGET), shard_done=True)
    await change(store, 2 * BUDGET)
    assert await pause_of(store) == ("requested", "other")


async def test_the_pause_of_a_caller_replaces_that_for_a_budget(store: SteerableStore) -> None:
    # Once, the caller was answered with a pause that a higher budget then ended.
    batch, jobs = await create(store)
    await store.append_chunk(await claimed(store, jobs[0]), paid(0, 1, cost=BUDGET), shard_done=True)
    await store.steering.steer_batch("w", "b", Pause(), by="other", now=AT)
    await change(store, 2 * BUDGET)
    assert await pause_of(store) == ("requested", "other")
    actions = [(entry.action, entry.by) for entry in await store.steering.timeline(batch.key)]
    assert actions == [("paused", ""), ("paused", "other"), ("budget_changed", "key")]


async def test_a_budget_that_is_reached_already_pauses_the_batch(store: SteerableStore) -> None:
    _, jobs = await create(store)
    await store.append_chunk(await claimed(store, jobs[0]), paid(0, 1, cost=5), shard_done=True)
    await change(store, 5)
    assert await pause_of(store) == ("budget_reached", "key")


async def test_an_answer_without_a_price_pauses_a_batch_with_a_budget_each_time(store: SteerableStore) -> None:
    _, jobs = await create(store)
    for job in jobs[:2]:
        seq = 2 * job.shard
        await store.append_chunk(await claimed(store, job), paid(seq, seq + 1, cost=1, unpriced=1), shard_done=True)
        assert await pause_of(store) == ("price_unknown", "")
        await store.steering.steer_batch("w", "b", Resume(), by="key", now=AT)
        assert await pause_of(store) is None


async def test_results_of_a_native_job_count_in_the_budget(store: SteerableStore) -> None:
    batch, _ = await create(store, planned=True)
    await store.save_plan(batch.key, [planned(batch, *range(6))], [])
    await store.append_native_results(await taken(store), {0: paid(0, cost=4), 1: paid(2, cost=6)})
    assert await pause_of(store) == ("budget_reached", "")


async def test_a_batch_that_has_ended_keeps_its_budget(store: SteerableStore) -> None:
    batch, jobs = await create(store)
    await end(store, batch, jobs)
    assert (await change(store, 5)).budget == BUDGET
    assert await store.steering.timeline(batch.key) == []
