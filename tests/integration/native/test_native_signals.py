"""A gateway without a worker takes a cancel: it reaches the process that polls the job, although no clock moves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg

from batchgate.account_settings import AccountSettings
from tests.integration.native.lane_client import BASES
from tests.integration.native.native_gateway import KEY, MIN_REQUESTS, NativeGateway
from tests.support.postgres_server import fresh_database
from tests.support.running_app import BATCHES, MovableClock, running_app
from tests.support.simulated_batches import simulated_providers

IDS = [f"request-{number}" for number in range(30)]
SOON = 20.0  # real seconds; only a cancel that waits for the clock exceeds it
END_LISTENERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE 'LISTEN batchgate%'
"""


@asynccontextmanager
async def two_processes(folder: Path) -> AsyncIterator[tuple[NativeGateway, NativeGateway, str]]:
    """Run a gateway without a worker, and a worker, on one database; return its URL too."""
    clock = MovableClock()
    async with simulated_providers() as providers:
        await providers.configure(running=1000)
        url = providers.url + BASES["openai"]
        account = AccountSettings(
            provider="openai", base_url=url, api_key=KEY, lane="auto", native_min_requests=MIN_REQUESTS
        )
        with fresh_database() as database:
            shared = {"clock": clock, "database_url": database, "accounts": {"openai": account}}
            async with (
                running_app(folder, role="gateway", **shared) as gateway,  # type: ignore[arg-type]
                running_app(folder, role="worker", **shared) as worker,  # type: ignore[arg-type]
            ):
                yield NativeGateway(gateway, providers), NativeGateway(worker, providers), database


async def running_batch(gateway: NativeGateway) -> str:
    """Create a batch, let its job be polled some times, and return its id."""
    batch = await gateway.app.create(*IDS)
    await gateway.jobs_upstream()
    while (await gateway.progress(batch["id"]))["jobs"][0]["state"] != "running":
        await gateway.pass_time(1.0)
    for _ in range(30):
        await gateway.pass_time()
    return str(batch["id"])


async def check_cancel(gateway: NativeGateway, batch_id: str) -> None:
    """Cancel a batch, and check that its job is canceled while the clock stands still."""
    async with asyncio.timeout(SOON):
        assert (await gateway.app.call("POST", f"{BATCHES}/{batch_id}/cancel"))[0] == 200
        while [job.state for job in await gateway.providers.jobs()] != ["cancelling"]:
            await gateway.app.call("GET", "/health")


async def test_a_cancel_at_another_gateway_reaches_the_job_at_once(tmp_path: Path) -> None:
    async with two_processes(tmp_path) as (gateway, _, _):
        await check_cancel(gateway, await running_batch(gateway))


async def test_a_cancel_whose_notification_was_lost_reaches_the_job_after_the_reconnection(tmp_path: Path) -> None:
    async with two_processes(tmp_path) as (gateway, _, database):
        batch_id = await running_batch(gateway)
        with psycopg.connect(database, autocommit=True) as connection:
            assert connection.execute(END_LISTENERS).rowcount == 2
        await check_cancel(gateway, batch_id)
