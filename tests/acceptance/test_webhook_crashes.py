"""A process that is killed while a batch ends, or while it delivers an event, loses none: the next one has them."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from itertools import groupby
from pathlib import Path

import aiohttp
import pytest
from standardwebhooks import Webhook as Verifier

from batchgate.encryption.fernet import new_master_key
from tests.support.gateway_process import SIMULATOR, GatewayProcess
from tests.support.running_app import create_body
from tests.support.webhook_receiver import webhook_receiver

SETTINGS = f'webhook_networks = ["127.0.0.0/8"]\n{SIMULATOR}simulator.latency = 0.0\n'
EVENTS = ["batch.created", "batch.started", "batch.completed"]


@pytest.mark.parametrize(("failpoint", "repeated"), [("webhook_sent=kill:2", 1), ("batch_marked=kill", 0)])
async def test_a_killed_process_loses_no_event_and_a_repeated_one_has_the_same_id(
    tmp_path: Path, failpoint: str, repeated: int
) -> None:
    environment = {"BATCHGATE_MASTER_KEY": new_master_key()}
    async with webhook_receiver() as receiver, aiohttp.ClientSession() as client:
        killed = GatewayProcess(
            data_dir=tmp_path, settings=SETTINGS, environment=environment | {"BATCHGATE_FAILPOINTS": failpoint}
        )
        with killed:
            body = {"url": receiver.url, "events": EVENTS}
            async with client.post(f"{killed.url}/api/webhooks", json=body) as response:
                secret = (await response.json())["secret"]
            with suppress(aiohttp.ClientError):
                await client.post(f"{killed.url}/v1/messages/batches", json=create_body("a"))
            assert await asyncio.to_thread(killed.wait) == -signal.SIGKILL
        with GatewayProcess(data_dir=tmp_path, settings=SETTINGS, environment=environment):
            await receiver.until(len(EVENTS) + repeated)
    for event in receiver.events:
        assert Verifier(secret).verify(event.body, event.headers) == event.content
    assert len(receiver.events) >= len(EVENTS) + repeated
    assert [type_ for type_, _ in groupby(event.type for event in receiver.events)] == EVENTS
    assert len({event.event_id for event in receiver.events}) == len(EVENTS)
