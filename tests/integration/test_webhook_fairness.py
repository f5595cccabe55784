"""Receivers that do not answer, and processes that cannot sign, hold up no other deliveries."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from batchgate.engine.webhooks import deliverer
from batchgate.providers.transport import webhook_sender
from tests.support.postgres_server import fresh_database
from tests.support.running_app import MovableClock, running_app
from tests.support.webhook_gateway import LIFE, add, gateway
from tests.support.webhook_receiver import WebhookReceiver, webhook_receiver


@pytest.fixture(autouse=True)
def short_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliverer, "INTERVAL", 0.02)


@pytest.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    async with webhook_receiver() as receiver:
        yield receiver


async def test_a_batch_whose_receiver_does_not_answer_delays_no_other_batch_of_its_webhook(
    tmp_path: Path, receiver: WebhookReceiver
) -> None:
    receiver.holds = True
    async with webhook_receiver() as other, gateway(tmp_path) as app, asyncio.timeout(webhook_sender.TIMEOUT):
        await add(app, None)
        await app.create("a", headers={"batchgate-webhook-url": receiver.url})
        await receiver.until(1, accepted=False)
        for _ in range(6):
            await app.create("a", headers={"batchgate-webhook-url": other.url})
        assert len(await other.until(6 * len(LIFE))) == 6 * len(LIFE)
        assert len(receiver.events) == 1


async def test_receivers_of_one_workspace_that_do_not_answer_get_a_bounded_number_of_calls(
    tmp_path: Path, receiver: WebhookReceiver
) -> None:
    receiver.holds = True
    async with gateway(tmp_path) as app:
        for _ in range(10):
            await add(app, receiver.url, "batch.created")
        for _ in range(deliverer.AT_ONCE):
            await app.create("a")
        await receiver.until(deliverer.AT_ONCE_IN_ALL, accepted=False)
        for _ in range(50):
            await app.call("GET", "/health")
        assert len(receiver.events) == deliverer.AT_ONCE_IN_ALL


async def test_a_process_without_a_master_key_leaves_deliveries_to_one_that_has_it(
    tmp_path: Path, receiver: WebhookReceiver
) -> None:
    with fresh_database() as url:
        clock = MovableClock(time.time_ns() // 1000)
        async with asyncio.timeout(60), running_app(tmp_path, clock=clock, database_url=url) as keyless:
            async with gateway(tmp_path, database_url=url) as app:
                await add(app, receiver.url, "batch.created")
                await keyless.create("a")
                await receiver.until(1)
            await keyless.create("b")
            problems: list[dict[str, Any]] = []
            while not any("master key" in str(problem) for problem in problems):
                problems = (await keyless.call("GET", "/health"))[1].get("problems", [])
        assert len(receiver.events) == 1
