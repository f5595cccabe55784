"""The end of a batch in each of its states: canceled, expired at its exact expiry time, archived."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from batchgate.account_settings import AccountSettings
from batchgate.engine.lifecycle import sweeper
from batchgate.engine.support import failpoints
from tests.support.blob_storage import ON_FOLDER_AND_BUCKET, BlobStorage
from tests.support.running_app import BATCHES, MovableClock, RunningApp, create_body, running_app, simulator

DAY = 24 * 3600
MICROSECOND = 1e-6


def make_accounts(**behaviour: object) -> dict[str, AccountSettings]:
    """Make two accounts: ``narrow`` makes two calls at a time, and ``busy`` always receives 429."""
    busy = simulator(rate_limit_rate=1.0, retry_after=30.0)
    narrow = AccountSettings(provider="simulator", concurrency=2, simulator=simulator(**behaviour).simulator)
    return {"narrow": narrow, "busy": busy}


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[RunningApp]:
    """Run a gateway whose default account ``narrow`` has at most two calls in flight, of a second each."""
    accounts = make_accounts(latency_by_model={"slow": 1.0})
    async with running_app(tmp_path, accounts=accounts, default_provider="narrow", shutdown_timeout=0.0) as running:
        yield running
    failpoints.arm_failpoints({})


async def create(app: RunningApp, **models: str) -> str:
    """Create a batch of requests by custom_id and model."""
    requests = [request for name, model in models.items() for request in create_body(name, model=model)["requests"]]
    status, batch = await app.call("POST", BATCHES, json={"requests": requests})
    assert status == 200, batch
    return str(batch["id"])


async def wait_for_calls_in_flight(app: RunningApp, calls: int) -> None:
    while (await app.call("GET", "/health"))[1]["requests_in_flight"] != calls:
        pass


async def wait_for_succeeded(app: RunningApp, batch_id: str, number: int) -> None:
    while (await app.call("GET", f"/api/batches/{batch_id}/progress"))[1]["succeeded"] < number:
        pass


async def cancel(app: RunningApp, batch_id: str) -> str:
    status, batch = await app.call("POST", f"{BATCHES}/{batch_id}/cancel")
    assert status == 200, batch
    return str(batch["processing_status"])


async def wait_for_outcomes(app: RunningApp, batch_id: str) -> dict[str, str]:
    """Wait for the end of a batch and return the result type of each request; the counts must match."""
    batch = await app.ended(batch_id)
    found = {line["custom_id"]: line["result"]["type"] for line in await app.results(batch_id)}
    for kind, number in batch["request_counts"].items():
        assert number == list(found.values()).count(kind)
    return found


@ON_FOLDER_AND_BUCKET
async def test_a_batch_canceled_before_any_request_was_sent_ends_with_canceled_lines(app: RunningApp) -> None:
    batch_id = await create(app, a="busy/m", b="busy/m")
    assert await cancel(app, batch_id) == "canceling"
    assert await wait_for_outcomes(app, batch_id) == {"a": "canceled", "b": "canceled"}


async def test_a_canceled_batch_keeps_its_calls_in_flight_and_ends_within_a_second_of_the_last(
    app: RunningApp,
) -> None:
    batch_id = await create(app, a="slow", b="slow", c="slow")
    await wait_for_calls_in_flight(app, 2)
    assert await cancel(app, batch_id) == "canceling"
    await wait_for_calls_in_flight(app, 0)
    async with asyncio.timeout(1.0):
        assert await wait_for_outcomes(app, batch_id) == {"a": "succeeded", "b": "succeeded", "c": "canceled"}


async def test_a_call_that_fails_after_a_cancel_is_not_retried(tmp_path: Path) -> None:
    accounts = {"down": simulator(latency=0.3, error_rate=1.0, retry_after=60.0)}
    async with running_app(tmp_path, accounts=accounts) as app:
        batch_id = await create(app, a="m")
        await wait_for_calls_in_flight(app, 1)
        await cancel(app, batch_id)
        async with asyncio.timeout(5.0):
            assert await wait_for_outcomes(app, batch_id) == {"a": "canceled"}


async def test_a_canceled_batch_keeps_the_results_that_arrived_before_the_cancel(app: RunningApp) -> None:
    batch_id = await create(app, a="quick", b="busy/m")
    await wait_for_succeeded(app, batch_id, 1)
    await cancel(app, batch_id)
    assert await wait_for_outcomes(app, batch_id) == {"a": "succeeded", "b": "canceled"}


async def test_a_second_cancel_changes_nothing(app: RunningApp) -> None:
    batch_id = await create(app, a="slow", b="slow", c="slow")
    await wait_for_calls_in_flight(app, 2)
    _, first = await app.call("POST", f"{BATCHES}/{batch_id}/cancel")
    app.clock.move(60)
    assert await app.call("POST", f"{BATCHES}/{batch_id}/cancel") == (200, first)
    assert (await wait_for_outcomes(app, batch_id))["c"] == "canceled"


async def test_a_cancel_after_the_last_response_keeps_it_and_a_later_cancel_finds_the_same_end(
    app: RunningApp,
) -> None:
    # Finalization fails, and is retried a second later.
    failpoints.arm_failpoints({failpoints.VARIABLE: "finalizing_started=raise"})
    batch_id = await create(app, a="quick")
    await wait_for_succeeded(app, batch_id, 1)
    while not (await app.call("GET", "/health"))[1]["problems"]:
        pass
    assert await cancel(app, batch_id) == "canceling"
    assert await wait_for_outcomes(app, batch_id) == {"a": "succeeded"}
    assert await cancel(app, batch_id) == "ended"


async def test_requests_unanswered_at_the_expiry_are_expired_even_if_a_cancel_follows(app: RunningApp) -> None:
    # The finalizer checked only whether a cancel existed. It marked requests as canceled that had expired before it.
    batch_id = await create(app, a="slow", b="slow", c="slow", d="busy/m")
    await wait_for_calls_in_flight(app, 2)
    app.clock.move(DAY)
    assert await cancel(app, batch_id) == "canceling"
    assert await wait_for_outcomes(app, batch_id) == {
        "a": "succeeded",
        "b": "succeeded",
        "c": "expired",
        "d": "expired",
    }
    assert await cancel(app, batch_id) == "ended"


async def test_requests_canceled_before_the_expiry_are_canceled_even_if_the_batch_ends_after_it(
    app: RunningApp,
) -> None:
    batch_id = await create(app, a="slow", b="slow", c="slow")
    await wait_for_calls_in_flight(app, 2)
    await cancel(app, batch_id)
    app.clock.move(DAY)
    assert await wait_for_outcomes(app, batch_id) == {"a": "succeeded", "b": "succeeded", "c": "canceled"}


async def test_a_batch_that_is_canceling_when_the_gateway_stops_ends_canceled_after_the_next_start(
    tmp_path: Path,
) -> None:
    accounts = make_accounts(latency_by_model={"slow": 60.0})
    options: dict[str, Any] = {"accounts": accounts, "default_provider": "narrow", "shutdown_timeout": 0.0}
    async with running_app(tmp_path, **options) as app:
        batch_id = await create(app, a="slow", b="slow", c="slow")
        await wait_for_calls_in_flight(app, 2)
        await cancel(app, batch_id)
    async with running_app(tmp_path, **options) as app:
        assert set((await wait_for_outcomes(app, batch_id)).values()) == {"canceled"}


@pytest.fixture
def only_the_clock_wakes_the_sweeper(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevent the periodic sweep once a second."""
    monkeypatch.setattr(sweeper, "INTERVAL", 3600.0)


@pytest.mark.usefixtures("only_the_clock_wakes_the_sweeper")
async def test_a_batch_expires_at_its_exact_expiry_time_and_keeps_its_results(tmp_path: Path) -> None:
    clock = MovableClock()
    accounts = make_accounts(latency_by_model={"slow": 1.0})
    async with running_app(tmp_path, clock=clock, accounts=accounts, default_provider="narrow") as app:
        batch_id = await create(app, done="quick", flying="slow", waiting="busy/m")
        await wait_for_succeeded(app, batch_id, 1)
        await wait_for_calls_in_flight(app, 1)
    # The gateway is restarted, so that the sweeper has read the expiry of the batch. The clock moves as soon as the
    # gateway runs, because of a race that once occurred: the sweeper read the batches that were due, then the clock
    # passed the expiry, then the sweeper read the next due time. A batch that became due in between waited for the next
    # periodic sweep.
    async with running_app(tmp_path, clock=clock, accounts=accounts, default_provider="narrow") as app:
        clock.move(DAY - MICROSECOND)
        assert (await app.call("GET", f"{BATCHES}/{batch_id}"))[1]["processing_status"] == "in_progress"
        clock.move(MICROSECOND)
        expected = {"done": "succeeded", "flying": "succeeded", "waiting": "expired"}
        assert await wait_for_outcomes(app, batch_id) == expected
        assert (await app.call("GET", f"{BATCHES}/{batch_id}"))[1]["cancel_initiated_at"] is None


@pytest.mark.usefixtures("only_the_clock_wakes_the_sweeper")
@ON_FOLDER_AND_BUCKET
async def test_the_gateway_deletes_results_and_input_after_exactly_29_days(tmp_path: Path) -> None:
    clock = MovableClock()
    async with running_app(tmp_path, clock=clock) as app:
        batch_id = (await app.create("a"))["id"]
        await app.ended(batch_id)
    async with running_app(tmp_path, clock=clock) as app:
        clock.move(29 * DAY - MICROSECOND)
        assert len(await app.results(batch_id)) == 1
        assert len(BlobStorage.names(tmp_path)) == 2
        clock.move(MICROSECOND)
        while BlobStorage.names(tmp_path):
            await app.call("GET", "/health")
        status, batch = await app.call("GET", f"{BATCHES}/{batch_id}")
        assert (status, batch["archived_at"]) == (200, "2026-12-17T11:06:40.000000Z")
        assert [shown["id"] for shown in (await app.call("GET", BATCHES))[1]["data"]] == [batch_id]
        assert (await app.call("DELETE", f"{BATCHES}/{batch_id}"))[0] == 200


async def test_a_response_that_arrives_while_the_gateway_stops_is_kept(tmp_path: Path) -> None:
    accounts = make_accounts(latency_by_model={"slow": 1.0})
    async with running_app(tmp_path, accounts=accounts, default_provider="narrow") as app:
        batch_id = await create(app, a="slow", b="slow", c="slow")
        await wait_for_calls_in_flight(app, 2)
    async with running_app(tmp_path, accounts=make_accounts(), default_provider="narrow") as app:
        assert set((await wait_for_outcomes(app, batch_id)).values()) == {"succeeded"}
        assert (await app.call("GET", f"/api/batches/{batch_id}/progress"))[1]["repeated"] == 0


async def test_a_request_that_waits_for_a_retry_when_the_gateway_stops_is_not_counted_as_repeated(
    tmp_path: Path,
) -> None:
    async with running_app(tmp_path, accounts=make_accounts(), default_provider="busy") as app:
        batch_id = await create(app, a="m", b="m")
        while "batchgate_retries_total{" not in await metrics(app):
            pass
    async with running_app(tmp_path, accounts={"busy": simulator()}, default_provider="busy") as app:
        assert set((await wait_for_outcomes(app, batch_id)).values()) == {"succeeded"}
        assert (await app.call("GET", f"/api/batches/{batch_id}/progress"))[1]["repeated"] == 0


async def metrics(app: RunningApp) -> str:
    async with app.client.get(f"{app.url}/metrics") as response:
        return await response.text()
