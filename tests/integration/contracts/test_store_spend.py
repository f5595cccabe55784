"""The contract of stores about money: what late answers of jobs add to a batch, and the jobs in the backlog."""

import msgspec

from batchgate.engine.model.price import Spend
from tests.integration.contracts.tenants.stored_rows import AnyStore
from tests.support.native_jobs import ended, planned_with
from tests.support.stored_rows import chunk, end

LATE = Spend(native=30, saved=-30, unpriced=1)
NOW = 5000


async def test_late_answers_are_added_to_a_batch_once(store: AnyStore) -> None:
    batch, _ = await planned_with(store, "a", [(0, 1)], direct=[])
    [job] = await store.take_jobs()
    spend = Spend(native=5, saved=7)
    await store.append_native_results(job, {0: msgspec.structs.replace(chunk(0), spend=spend)})
    await store.end_job(ended(job))
    for _ in range(2):
        await store.count_paid_twice(job, paid_twice=1, spend=LATE, now=NOW)
    found = await store.find_batch_by_key(batch.key)
    assert found is not None
    assert (found.paid_twice, found.spend) == (1, Spend(native=35, saved=-23, unpriced=1))
    assert [job.paid_twice for job in await store.jobs_of(batch.key)] == [1]


async def test_the_backlog_counts_the_jobs_that_have_not_ended(store: AnyStore) -> None:
    await planned_with(store, "a", [(0,), (1,)], direct=[])
    assert (await store.backlog()).native_jobs == {("openai", "planned"): 2}
    first, second = await store.take_jobs()
    await store.save_job(msgspec.structs.replace(first, state="running"))
    assert (await store.backlog()).native_jobs == {("openai", "planned"): 1, ("openai", "running"): 1}
    for job in (first, second):
        await store.end_job(ended(job))
    assert (await store.backlog()).native_jobs == {}


async def test_late_answers_of_an_ended_batch_count_in_the_month_in_which_they_are_found(store: AnyStore) -> None:
    batch, _ = await planned_with(store, "a", [(0, 1)], direct=[])
    [job] = await store.take_jobs()
    await end(store, batch, list(await store.end_job(ended(job))))
    assert (await store.tenants.find_usage("w", NOW)).monthly_spend == 0
    await store.count_paid_twice(job, paid_twice=0, spend=LATE, now=NOW)
    assert (await store.tenants.find_usage("w", NOW)).monthly_spend == LATE.native
