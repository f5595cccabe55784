"""The contract of `WebhookStore`, on every database, and the event that each change of a batch leaves behind."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from batchgate.engine.model.batch import NewBatch, ValidatedInput
from batchgate.engine.model.batch_event import SampleEvent
from batchgate.engine.model.steering import Action, Pause, Resume
from batchgate.engine.model.usage import Counts
from batchgate.engine.model.webhook import (
    EVENT_TYPES,
    RETRY_PERIOD,
    DeliveryState,
    EventType,
    NewWebhook,
)
from tests.support.stored_rows import EMPTY, claimed, create, end, input_of, new_batch
from tests.support.stored_webhooks import LATER, WebhookStores, add_webhook, attempt, data_of, take

STATES: tuple[DeliveryState, ...] = ("delivered", "failed")


def batch_of_file(batch_id: str) -> NewBatch:
    return msgspec.structs.replace(new_batch(batch_id), input_blob=None, shards=())


async def test_a_webhook_is_found_by_its_workspace_alone_and_listed_in_the_order_of_creation(
    store: WebhookStores,
) -> None:
    first, second = await add_webhook(store, "h1"), await add_webhook(store, "h2", url=None, events=("batch.failed",))
    assert (first.url, first.events, first.secret, first.created_at) == (
        "https://example.com/hook",
        EVENT_TYPES,
        b"s",
        5,
    )
    assert await store.webhooks.find_webhook("w", "h2") == second
    assert await store.webhooks.find_webhook("other", "h2") is None
    assert list(await store.webhooks.list_webhooks("w")) == [first, second]
    assert list(await store.webhooks.list_webhooks("other")) == []


async def test_a_workspace_has_a_bounded_number_of_webhooks(store: WebhookStores) -> None:
    new = [NewWebhook(id=f"h{n}", workspace="w", url=None, events=(), secret=b"", created_at=5) for n in range(5)]
    stored = await asyncio.gather(*(store.webhooks.create_webhook(each, limit=2) for each in new))
    assert sum(each is not None for each in stored) == 2


async def test_what_is_given_of_a_webhook_is_changed_and_only_in_its_workspace(store: WebhookStores) -> None:
    webhook = await add_webhook(store)
    changed = await store.webhooks.update_webhook("w", "h", url="https://b.example", events=None, now=9)
    assert changed == msgspec.structs.replace(webhook, url="https://b.example", updated_at=9)
    narrowed = await store.webhooks.update_webhook("w", "h", url=None, events=("batch.failed",), now=10)
    assert narrowed == msgspec.structs.replace(changed, events=("batch.failed",), updated_at=10)
    assert await store.webhooks.update_webhook("other", "h", url="https://c.example", events=None, now=11) is None
    assert not await store.webhooks.delete_webhook("other", "h")
    assert await store.webhooks.find_webhook("w", "h") == narrowed


async def test_a_created_batch_has_started_and_each_webhook_that_wants_it_is_told_once(store: WebhookStores) -> None:
    both = await add_webhook(store)
    one = await add_webhook(store, "h2", events=("batch.started",))
    other = await add_webhook(store, "h3", workspace="other")
    batch, _ = await create(store, "a")
    told = await take(store, both)
    assert [(each.type, each.batch_id, each.created_at) for each in told] == [
        ("batch.created", batch.id, 1000),
        ("batch.started", batch.id, 1000),
    ]
    assert [each.type for each in await take(store, one)] == ["batch.started"]
    assert await take(store, other) == []
    payload = msgspec.json.decode(told[0].payload)
    assert payload["id"] == told[0].event_id
    assert payload["type"] == "batch.created"
    assert payload["timestamp"] == "1970-01-01T00:00:00.001000Z"
    assert (payload["data"]["id"], payload["data"]["status"]) == (batch.id, "in_progress")
    assert payload["data"]["request_counts"]["processing"] == batch.counts.total == 2


async def test_a_create_that_repeats_another_one_is_no_event(store: WebhookStores) -> None:
    webhook = await add_webhook(store)
    first = msgspec.structs.replace(new_batch("a"), idempotency_key="k")
    await store.add_orphan_blob(input_of(first))
    await store.create_batch(first)
    await store.create_batch(msgspec.structs.replace(new_batch("b"), idempotency_key="k"))
    assert [each.batch_id for each in await take(store, webhook)] == ["a", "a"]


async def test_a_batch_of_a_file_starts_when_its_file_is_validated(store: WebhookStores) -> None:
    webhook = await add_webhook(store)
    batch, _ = await store.create_batch(batch_of_file("a"))
    assert [each.type for each in await take(store, webhook)] == ["batch.created"]
    await store.add_orphan_blob("validated")
    shards = new_batch("a").shards
    validated = ValidatedInput(input_blob="validated", shards=shards, providers=("p",))
    for _ in range(2):
        await store.start_batch(batch.key, validated, 1100)
    (started,) = await take(store, webhook)
    assert (started.type, started.created_at) == ("batch.started", 1100)
    assert data_of(started)["request_counts"]["total"] == 2


async def test_a_batch_whose_file_is_invalid_has_failed(store: WebhookStores) -> None:
    webhook = await add_webhook(store, events=("batch.failed",))
    batch, _ = await store.create_batch(batch_of_file("a"))
    for _ in range(2):
        await store.fail_batch(batch.key, b"[]", b"[]", 1100)
    (failed,) = await take(store, webhook)
    assert (failed.type, failed.created_at, data_of(failed)["status"]) == ("batch.failed", 1100, "failed")


async def test_a_batch_that_is_canceled_while_its_file_is_validated_has_ended(store: WebhookStores) -> None:
    webhook = await add_webhook(store, events=("batch.canceled",))
    await store.create_batch(batch_of_file("a"))
    for _ in range(2):
        await store.cancel_batch("w", "a", 1100)
    (canceled,) = await take(store, webhook)
    assert (canceled.type, canceled.created_at, data_of(canceled)["status"]) == ("batch.canceled", 1100, "ended")


ENDS: list[tuple[EventType, Counts, int | None]] = [
    ("batch.completed", Counts(total=2, succeeded=1, errored=1), None),
    ("batch.completed", Counts(total=2, succeeded=2), 1100),
    ("batch.expired", Counts(total=2, succeeded=1, expired=1), None),
    ("batch.canceled", Counts(total=2, canceled=2), 1100),
]


@pytest.mark.parametrize(("kind", "counts", "canceled_at"), ENDS)
async def test_a_batch_that_ends_says_why(
    store: WebhookStores, kind: EventType, counts: Counts, canceled_at: int | None
) -> None:
    endings: tuple[EventType, ...] = ("batch.completed", "batch.failed", "batch.expired", "batch.canceled")
    webhook = await add_webhook(store, events=endings)
    batch, (job,) = await create(store, "a")
    await store.append_chunk(await claimed(store, job), EMPTY, shard_done=True)
    if canceled_at is not None:
        await store.cancel_batch("w", "a", canceled_at)
    for number in range(2):
        await store.add_orphan_blob(f"results {number}")
        await store.end_batch(batch.key, counts=counts, now=2000, results_blob=f"results {number}", results_size=7)
    (ended,) = await take(store, webhook)
    expected = "batch.canceled" if canceled_at is not None else kind
    assert (ended.type, ended.created_at) == (expected, 2000)
    assert data_of(ended)["status"] == "ended"
    assert data_of(ended)["request_counts"] == msgspec.structs.asdict(counts) | {"processing": 0}


async def test_every_pause_is_an_event_that_says_why_and_a_resume_is_none(store: WebhookStores) -> None:
    webhook = await add_webhook(store, events=("batch.paused",))
    await create(store, "a")
    actions: list[Action] = [Pause(reason="why"), Pause(reason="again"), Resume(), Pause()]
    for at, action in enumerate(actions, 1100):
        await store.steering.steer_batch("w", "a", action, by="key", now=at)
    paused = await take(store, webhook)
    assert [(each.created_at, data_of(each)["paused"]["reason"]) for each in paused] == [(1100, "why"), (1103, None)]


async def test_batches_in_the_format_of_openai_have_the_names_and_fields_of_its_webhooks(store: WebhookStores) -> None:
    webhook = await add_webhook(store, events=("batch.started", "batch.canceled"))
    new = msgspec.structs.replace(new_batch("a", at=2_000_000), dialect="openai")
    await store.add_orphan_blob(input_of(new))
    batch, _ = await store.create_batch(new)
    await store.cancel_batch("w", "a", 2_000_001)
    await end(store, batch, [], now=3_000_000)
    started, canceled = await take(store, webhook)
    assert "object" not in msgspec.json.decode(started.payload)
    payload = msgspec.json.decode(canceled.payload)
    assert (canceled.type, payload["type"]) == ("batch.cancelled", "batch.cancelled")
    assert (payload["object"], payload["created_at"], payload["data"]["id"]) == ("event", 3, "a")


async def test_events_of_a_batch_are_delivered_in_order_and_those_of_others_do_not_wait(store: WebhookStores) -> None:
    webhook = await add_webhook(store)
    await create(store, "a")
    await create(store, "b")
    a, b = await store.webhooks.due_deliveries(webhook.key, LATER, 10)
    assert [(each.batch_id, each.type) for each in (a, b)] == [("a", "batch.created"), ("b", "batch.created")]
    assert await store.webhooks.record_attempt(a, attempt("pending", next_at=LATER + 5))
    assert await store.webhooks.record_attempt(b, attempt("delivered"))
    (due,) = await store.webhooks.due_deliveries(webhook.key, LATER, 10)
    assert (due.batch_id, due.type) == ("b", "batch.started")
    assert await store.webhooks.record_attempt(due, attempt("failed"))
    assert list(await store.webhooks.due_webhooks(LATER + 4)) == []
    assert list(await store.webhooks.due_webhooks(LATER + 5)) == [webhook]
    (again,) = await store.webhooks.due_deliveries(webhook.key, LATER + 5, 10)
    assert (again.event_id, again.attempts, again.response_status, again.error) == (a.event_id, 1, 500, "why")
    assert again.retry_until == 1000 + RETRY_PERIOD


async def test_the_outcome_of_an_attempt_is_stored_once(store: WebhookStores) -> None:
    webhook = await add_webhook(store)
    await create(store, "a")
    (delivery,) = await store.webhooks.due_deliveries(webhook.key, LATER, 10)
    assert await store.webhooks.record_attempt(delivery, attempt("pending"))
    assert not await store.webhooks.record_attempt(delivery, attempt("delivered"))
    (still,) = await store.webhooks.due_deliveries(webhook.key, LATER, 10)
    assert (still.event_id, still.attempts) == (delivery.event_id, 1)


async def test_no_more_deliveries_are_read_than_asked_for(store: WebhookStores) -> None:
    webhook = await add_webhook(store)
    for name in "abc":
        await create(store, name)
    assert [each.batch_id for each in await store.webhooks.due_deliveries(webhook.key, LATER, 2)] == ["a", "b"]
    assert await store.webhooks.due_deliveries(webhook.key, 999, 2) == []


async def test_a_deleted_webhook_takes_its_deliveries_along(store: WebhookStores) -> None:
    webhook = await add_webhook(store)
    await create(store, "a")
    assert await store.webhooks.delete_webhook("w", "h")
    assert not await store.webhooks.delete_webhook("w", "h")
    assert await store.webhooks.due_webhooks(LATER) == []
    assert await store.webhooks.due_deliveries(webhook.key, LATER, 10) == []


async def test_a_batch_may_be_created_while_webhooks_of_its_workspace_are_deleted(store: WebhookStores) -> None:
    for number in range(10):
        await add_webhook(store)
        _, deleted = await asyncio.gather(create(store, f"a{number}"), store.webhooks.delete_webhook("w", "h"))
        assert deleted
    assert await store.webhooks.due_webhooks(LATER) == []


async def test_a_webhook_without_a_url_gets_the_events_of_batches_that_name_one(store: WebhookStores) -> None:
    webhook = await add_webhook(store, url=None)
    await create(store, "a")
    new = new_batch("b")
    new = msgspec.structs.replace(new, options=msgspec.structs.replace(new.options, webhook="https://b.example"))
    await store.add_orphan_blob(input_of(new))
    await store.create_batch(new)
    assert [(each.batch_id, each.url) for each in await take(store, webhook)] == [("b", "https://b.example")] * 2


async def test_deliveries_that_are_old_and_not_pending_are_dropped(store: WebhookStores) -> None:
    webhook = await add_webhook(store)
    await create(store, "a")
    (delivery,) = await store.webhooks.due_deliveries(webhook.key, LATER, 10)
    await store.webhooks.record_attempt(delivery, attempt("delivered"))
    await store.webhooks.drop_deliveries(1001)
    assert not await store.webhooks.record_attempt(delivery, attempt("delivered"))
    assert [each.type for each in await take(store, webhook)] == ["batch.started"]


async def test_deliveries_are_listed_newest_first_and_by_their_state(store: WebhookStores) -> None:
    webhook = await add_webhook(store)
    for name in "ab":
        await create(store, name)
    for due, state in zip(await store.webhooks.due_deliveries(webhook.key, LATER, 2), STATES, strict=True):
        await store.webhooks.record_attempt(due, attempt(state))
    page = await store.webhooks.list_deliveries(webhook.key, after=None, state=None, limit=3)
    assert [(each.batch_id, each.type, each.state) for each in page.deliveries] == [
        ("b", "batch.started", "pending"),
        ("b", "batch.created", "failed"),
        ("a", "batch.started", "pending"),
    ]
    assert page.has_more
    rest = await store.webhooks.list_deliveries(webhook.key, after=page.deliveries[-1].key, state=None, limit=3)
    assert [(each.type, each.state) for each in rest.deliveries] == [("batch.created", "delivered")]
    failed = await store.webhooks.list_deliveries(webhook.key, after=None, state="failed", limit=3)
    assert failed.deliveries == (page.deliveries[1],)
    assert await store.webhooks.find_delivery(webhook.key, page.deliveries[1].event_id) == page.deliveries[1]
    assert await store.webhooks.find_delivery(webhook.key + 1, page.deliveries[1].event_id) is None


async def test_an_event_is_replayed_as_if_it_had_just_happened_and_later_ones_wait_for_it(store: WebhookStores) -> None:
    webhook = await add_webhook(store)
    await create(store, "a")
    (first,) = await store.webhooks.due_deliveries(webhook.key, LATER, 10)
    await store.webhooks.record_attempt(first, attempt("failed"))
    replayed = await store.webhooks.replay_delivery(webhook.key, first.event_id, LATER)
    assert replayed is not None
    assert (replayed.state, replayed.attempts, replayed.next_attempt_at) == ("pending", 0, LATER)
    assert replayed.retry_until == LATER + RETRY_PERIOD
    assert [each.type for each in await take(store, webhook)] == ["batch.created", "batch.started"]
    assert await store.webhooks.replay_delivery(webhook.key, "unknown", LATER) is None


async def test_a_test_event_waits_for_no_batch(store: WebhookStores) -> None:
    webhook = await add_webhook(store)
    await create(store, "a")
    sent = await store.webhooks.add_sample_event(webhook.key, SampleEvent(id="e", at=1500, payload="{}"))
    assert sent is not None
    assert (sent.event_id, sent.type, sent.batch_id, sent.created_at) == ("e", "webhook.test", None, 1500)
    due = await store.webhooks.due_deliveries(webhook.key, 1500, 10)
    assert [each.type for each in due] == ["batch.created", "webhook.test"]
    assert await store.webhooks.add_sample_event(webhook.key + 1, SampleEvent(id="f", at=1500, payload="{}")) is None


async def test_a_rotation_keeps_the_previous_secret_and_both_are_reencrypted(store: WebhookStores) -> None:
    webhook = await add_webhook(store)
    await store.secrets.put_secret("openai", b"o", 5)
    rotated = await store.webhooks.rotate_webhook("w", "h", secret=b"new", previous_until=99, now=9)
    assert rotated == msgspec.structs.replace(
        webhook, secret=b"new", previous_secret=b"s", previous_secret_until=99, updated_at=9
    )
    assert await store.webhooks.rotate_webhook("other", "h", secret=b"x", previous_until=99, now=9) is None
    stored = await store.secrets.list_ciphertexts()
    assert sorted((each.name, each.ciphertext) for each in stored) == [
        ("openai", b"o"),
        ("webhook:h", b"new"),
        ("webhook:h", b"s"),
    ]
    for each in stored:
        assert await store.secrets.reencrypt_secret(each.name, each.ciphertext, each.ciphertext + b"!")
    assert not await store.secrets.reencrypt_secret("webhook:h", b"s", b"lost")
    found = await store.webhooks.find_webhook("w", "h")
    assert found is not None
    assert (found.secret, found.previous_secret) == (b"new!", b"s!")
