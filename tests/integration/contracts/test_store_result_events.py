"""What the store tells webhooks when results are written: how far a batch is, and which requests have failed."""

from __future__ import annotations

from contextlib import suppress

import msgspec

from batchgate.engine.model.batch_event import MAX_FAILED_ROWS
from batchgate.engine.model.errors import ErrorKind, StaleClaim
from batchgate.engine.model.failure import FailedRequest, FailureGroup
from tests.support.stored_rows import chunk, claimed, create
from tests.support.stored_webhooks import WebhookStores, add_webhook, data_of, take


def failure(seq: int, kind: ErrorKind = "api_error") -> FailureGroup:
    first = (FailedRequest(seq, f"request-{seq}"),)
    return FailureGroup(kind=kind, pattern="p", count=1, first=first, example="m")


async def test_a_batch_says_how_far_it_is_once_for_each_tenth(store: WebhookStores) -> None:
    webhook = await add_webhook(store, events=("batch.progress",))
    _, jobs = await create(store, "a", shards=5)
    for number, job in enumerate(jobs):
        claim = await claimed(store, job)
        for seq in (2 * number, 2 * number + 1):
            told = msgspec.structs.replace(chunk(seq), at=2000 + seq)
            await store.append_chunk(claim, told, shard_done=False)
    progress = await take(store, webhook)
    assert [data_of(each)["percent"] for each in progress] == [10, 20, 30, 40, 50, 60, 70, 80, 90]
    assert [each.created_at for each in progress] == [2000 + seq for seq in range(9)]
    assert data_of(progress[4])["request_counts"]["succeeded"] == 5


async def test_a_chunk_that_passes_several_tenths_says_so_and_one_that_is_written_twice_says_nothing(
    store: WebhookStores,
) -> None:
    webhook = await add_webhook(store, events=("batch.progress", "row.failed"))
    _, (job,) = await create(store, "a")
    claim = await claimed(store, job)
    failed = msgspec.structs.replace(chunk(0, errored=1), at=2000, failures=(failure(0),))
    await store.append_chunk(claim, failed, shard_done=True)
    with suppress(StaleClaim):  # on PostgreSQL an attempt whose answer was lost is repeated
        await store.append_chunk(claim, failed, shard_done=True)
    told = await take(store, webhook)
    percents = [data_of(each)["percent"] for each in told if each.type == "batch.progress"]
    assert percents == [10, 20, 30, 40, 50]
    (row,) = (each for each in told if each.type == "row.failed")
    assert (data_of(row)["request"], data_of(row)["error"]) == ({"custom_id": "request-0"}, {"type": "api_error"})


async def test_the_failed_requests_that_have_an_event_are_bounded(store: WebhookStores) -> None:
    webhook = await add_webhook(store, events=("row.failed",))
    _, jobs = await create(store, "a", shards=(MAX_FAILED_ROWS + 10) // 2)
    for number, job in enumerate(jobs):
        groups = (failure(2 * number), failure(2 * number + 1, "timeout_error"))
        failed = msgspec.structs.replace(chunk(2 * number, 2 * number + 1, errored=2), failures=groups)
        await store.append_chunk(await claimed(store, job), failed, shard_done=True)
    rows = [data_of(each)["request"]["custom_id"] for each in await take(store, webhook)]
    assert rows == [f"request-{seq}" for seq in range(MAX_FAILED_ROWS)]
