"""The contract of a store for monthly budgets, on every database."""

import asyncio
from contextlib import AsyncExitStack

import msgspec
import pytest

from batchgate.engine.lifecycle.usage_retention import UsageRetention
from batchgate.engine.model.api_key import ApiKey, hash_key
from batchgate.engine.model.batch import Batch
from batchgate.engine.model.clock import DAY
from batchgate.engine.model.daily_usage import ModelUsage
from batchgate.engine.model.errors import RefusedError, StaleClaim
from batchgate.engine.model.fail_fast import CalledModel
from batchgate.engine.model.price import Spend
from batchgate.engine.model.shard import QueuedShard, ResultChunk
from batchgate.engine.model.workspace import Quotas, Workspace
from batchgate.store.postgres import PostgresStore
from batchgate.store.sqlite import SqliteStore
from tests.support.databases import Database
from tests.support.native_jobs import ended, planned_with
from tests.support.stored_rows import chunk, claimed, input_of, new_batch

AnyStore = SqliteStore | PostgresStore
NOW = 1_795_000_000_000_000
"""18 November 2026."""
NEXT_MONTH = NOW + 20 * DAY
BUDGET = 10


def paid(*seqs: int, cost: int, account: str = "a", at: int = NOW) -> ResultChunk:
    """Return answers of an account that have cost so many nano-dollars together."""
    spend = Spend(direct=cost)
    models = (ModelUsage(called=CalledModel(account, "m"), succeeded=len(seqs), spend=spend),)
    return msgspec.structs.replace(chunk(*seqs), spend=spend, models=models, at=at)


async def create(
    store: AnyStore, batch_id: str = "b", *, key: str = "ci", at: int = NOW
) -> tuple[Batch, list[QueuedShard]]:
    new = msgspec.structs.replace(
        new_batch(batch_id, shards=3), caller=key, created_at=at, expires_at=NEXT_MONTH + 9 * DAY
    )
    await store.add_orphan_blob(input_of(new))
    batch, jobs = await store.create_batch(new)
    return batch, list(jobs)


async def store_result(store: AnyStore, job: QueuedShard, result: ResultChunk) -> None:
    await store.append_chunk(await claimed(store, job), result, shard_done=False)


async def pause_of(store: AnyStore, batch_id: str = "b") -> str | None:
    batch = await store.find_batch("w", batch_id)
    assert batch is not None
    return None if batch.pause is None else batch.pause.reason


async def spent(store: AnyStore, now: int = NOW) -> dict[str, tuple[int, int]]:
    """Return what is spent of each budget, and the budgets, by their names."""
    return {each.name: (each.spent, each.budget) for each in await store.budgets.monthly_budgets(now)}


async def set_workspace_budget(store: AnyStore, budget: int | None) -> None:
    await store.tenants.ensure_workspaces(["w"], NOW)
    assert await store.tenants.update_quotas("w", {"monthly_spend": budget}, NOW) is not None


async def test_results_are_counted_for_every_spender_and_pause_their_batch_at_the_first_budget(store: AnyStore) -> None:
    await set_workspace_budget(store, 100)
    await store.budgets.set_key_budget("w", "ci", 20, NOW)
    await store.budgets.set_account_budgets({"a": 15, "other": 5, "none": None}, NOW)
    _, jobs = await create(store)
    await store_result(store, jobs[0], paid(0, cost=14))
    assert await pause_of(store) is None
    await store_result(store, jobs[1], paid(2, cost=1))
    assert await pause_of(store) == (
        "the monthly budget of account 'a', $0.000000015, is reached: $0.000000015 are spent in 2026-11; "
        "raise it in the settings, or resume the batch next month"
    )
    assert await spent(store) == {"a": (15, 15), "other": (0, 5), "ci": (15, 20), "w": (15, 100)}
    _, others = await create(store, "c", key="solo")
    await store_result(store, others[0], paid(0, cost=85, account="free"))
    assert str(await pause_of(store, "c")).startswith("the monthly budget of workspace 'w', $0.0000001, is reached")
    assert await store.claim_shard(others[1]) is None


async def test_a_reached_budget_of_an_account_stops_only_batches_that_call_it(store: AnyStore) -> None:
    await store.budgets.set_account_budgets({"a": BUDGET}, NOW)
    (first, jobs), (second, others) = await create(store), await create(store, "c")
    await store_result(store, jobs[0], paid(0, cost=BUDGET))
    await store_result(store, others[0], paid(0, cost=BUDGET, account="free"))
    assert await pause_of(store) is not None
    assert await pause_of(store, "c") is None
    for batch in (first, second):  # which accounts a batch calls is not known to the store
        reached = await store.budgets.reached_budgets(batch.key, NOW)
        assert [(each.kind, each.name) for each in reached] == [("account", "a")]
        assert [reached[0].stops(name) for name in ("a", "free")] == [True, False]
    claim = await claimed(store, others[1])
    assert (claim.has_monthly_budget, claim.budgeted_accounts) == (False, frozenset("a"))
    await store.budgets.set_key_budget("w", "ci", 100, NOW)
    claim = await claimed(store, others[1])
    assert (claim.has_monthly_budget, claim.budgeted_accounts) == (True, frozenset("a"))


async def test_the_budget_of_a_key_concerns_the_batches_that_it_created(store: AnyStore) -> None:
    await store.budgets.set_key_budget("w", "ci", BUDGET, NOW)
    (batch, jobs), (other, others) = await create(store), await create(store, "c", key="solo")
    await store_result(store, jobs[0], paid(0, cost=BUDGET))
    await store_result(store, others[0], paid(0, cost=BUDGET))
    assert (await pause_of(store), await pause_of(store, "c")) != (None, None)
    assert await pause_of(store, "c") is None
    assert len(await store.budgets.reached_budgets(batch.key, NOW)) == 1
    assert not await store.budgets.reached_budgets(other.key, NOW)
    assert not (await claimed(store, others[1])).has_monthly_budget
    with pytest.raises(RefusedError, match="No batch can be created: the monthly budget of API key 'ci'") as refused:
        await create(store, "d")
    assert refused.value.kind == "rate_limit_error"
    await store.budgets.set_key_budget("w", "ci", BUDGET + 1, NOW)
    await create(store, "d")


async def test_a_new_month_begins_with_nothing_spent(store: AnyStore) -> None:
    await store.budgets.set_key_budget("w", "ci", BUDGET, NOW)
    batch, jobs = await create(store)
    await store_result(store, jobs[0], paid(0, cost=BUDGET))
    assert not await store.budgets.reached_budgets(batch.key, NEXT_MONTH)
    assert await spent(store, NEXT_MONTH) == {"ci": (0, BUDGET)}
    other, jobs = await create(store, "c", at=NEXT_MONTH)
    await store_result(store, jobs[0], paid(0, cost=1, at=NEXT_MONTH))
    await store_result(store, jobs[0], paid(1, cost=7))  # put together in the month before
    assert await spent(store, NEXT_MONTH) == {"ci": (1, BUDGET)}
    await store_result(store, jobs[1], paid(2, cost=BUDGET - 1, at=NEXT_MONTH))
    assert str(await pause_of(store, "c")).count("2026-12") == 1
    assert [each.month for each in await store.budgets.reached_budgets(other.key, NEXT_MONTH)] == ["2026-12"]


async def test_a_budget_counts_what_was_spent_in_its_month_before_it_was_set(store: AnyStore) -> None:
    _, jobs = await create(store)
    await store_result(store, jobs[0], paid(0, cost=3, at=NOW - 40 * DAY))
    await store_result(store, jobs[0], paid(1, cost=4))
    await store_result(store, jobs[1], paid(2, cost=2, account="free"))
    await set_workspace_budget(store, 6)
    await store.budgets.set_key_budget("w", "ci", 100, NOW)
    await store.budgets.set_account_budgets({"a": 100, "free": 100}, NOW)
    assert await spent(store) == {"a": (4, 100), "free": (2, 100), "ci": (6, 100), "w": (6, 6)}
    await store.budgets.set_account_budgets({"a": 5, "free": None}, NOW)
    await store.budgets.set_key_budget("w", "ci", None, NOW)
    await set_workspace_budget(store, None)
    assert await spent(store) == {"a": (4, 5)}
    new = Workspace(name="new", created_at=NOW, quotas=Quotas(monthly_spend=7))
    assert await store.tenants.create_workspace(new)
    key = ApiKey(id="key_1", digest=hash_key("k"), name="k", workspace="new", scopes=("read",), hint="", created_at=NOW)
    await store.tenants.create_key(key, first=False, monthly_budget=8)
    assert await spent(store) == {"a": (4, 5), "new": (0, 7), "k": (0, 8)}


async def test_a_budget_counts_the_days_of_its_month_that_are_older_than_the_kept_usage(store: AnyStore) -> None:
    _, jobs = await create(store)
    for seq, at in enumerate((NOW - 30 * DAY, NOW - 15 * DAY)):
        await store_result(store, jobs[0], paid(seq, cost=2 + seq, at=at))
    await UsageRetention(store.usage, 7).drop_old(NOW)
    assert (await store.tenants.find_usage("w", NOW)).monthly_spend == 3
    await store.budgets.set_key_budget("w", "ci", BUDGET, NOW)
    assert await spent(store) == {"ci": (3, BUDGET)}
    await UsageRetention(store.usage, 7).drop_old(NEXT_MONTH)
    await store.budgets.set_account_budgets({"a": BUDGET}, NOW)
    assert (await spent(store))["a"] == (0, BUDGET)


async def test_results_that_are_not_stored_cost_nothing(store: AnyStore) -> None:
    await store.budgets.set_key_budget("w", "ci", BUDGET, NOW)
    _, jobs = await create(store)
    stale, _ = await claimed(store, jobs[0]), await claimed(store, jobs[0])
    with pytest.raises(StaleClaim):
        await store.append_chunk(stale, paid(0, cost=BUDGET), shard_done=False)
    assert await spent(store) == {"ci": (0, BUDGET)}


async def test_answers_of_jobs_count_also_if_they_come_too_late(store: AnyStore) -> None:
    await store.budgets.set_account_budgets({"openai": 100}, NOW)
    await planned_with(store, "a", [(0, 1)], direct=[])
    [job] = await store.take_jobs()
    await store.append_native_results(job, {0: paid(0, cost=5, account="openai")})
    await store.end_job(ended(job))
    for _ in range(2):
        await store.count_paid_twice(job, paid_twice=1, spend=Spend(native=30), now=NOW)
    assert await spent(store) == {"openai": (35, 100)}


async def test_no_result_is_missed_or_deadlocks_while_budgets_change(store: AnyStore, database: Database) -> None:
    """Two processes store results of many batches, while a third sets budgets: the sums are exact in the end."""
    batches = [await create(store, f"b{number}") for number in range(6)]
    async with AsyncExitStack() as stack:
        other: AnyStore = store
        if database.kind == "postgres":  # a second process
            other = await stack.enter_async_context(database.store())

        async def run(jobs: list[QueuedShard], at: AnyStore) -> None:
            for job in jobs:
                claim = await claimed(at, job)
                for seq in (2 * job.shard, 2 * job.shard + 1):
                    account = "ab"[seq % 2]
                    await at.append_chunk(claim, paid(seq, cost=1, account=account), shard_done=False)

        async def set_budgets() -> None:
            for limit in range(1000, 1010):
                await store.budgets.set_account_budgets({"a": limit, "b": limit}, NOW)
                await store.budgets.set_key_budget("w", "ci", limit, NOW)
                await set_workspace_budget(store, limit)

        runs = [run(jobs, (store, other)[number % 2]) for number, (_, jobs) in enumerate(batches)]
        await asyncio.gather(*runs, set_budgets())
        assert await spent(store) == {"a": (18, 1009), "b": (18, 1009), "ci": (36, 1009), "w": (36, 1009)}
