"""Gateways and workers on one PostgreSQL database, each an application of its own in the process of the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiohttp.test_utils import unused_port

from batchgate.app import ENGINE, build_app
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.errors import ConfigurationError
from batchgate.engine.model.shard import ShardJob
from batchgate.installation import Role
from batchgate.providers.simulator.simulator import SimulatorSettings
from batchgate.settings import AccountSettings, Settings
from batchgate.store.postgres import PostgresAddress, PostgresStore
from tests.support import openai_batches
from tests.support.health import problem_texts
from tests.support.postgres_server import fresh_database
from tests.support.running_app import BATCHES, MovableClock, RunningApp, create_body, running_app, simulator

PATIENCE = 30.0  # seconds


@dataclass
class Installation:
    """One database and one folder of bodies, on which applications run."""

    folder: Path
    url: str
    clock: MovableClock = field(default_factory=MovableClock)

    @asynccontextmanager
    async def running(self, role: Role, **settings: Any) -> AsyncIterator[RunningApp]:
        """Run one."""
        async with running_app(
            self.folder,
            role=role,
            clock=self.clock,
            database_url=self.url,
            **({"worker_heartbeat_timeout": 3.0} | settings),
        ) as app:
            yield app


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    with fresh_database() as url:
        yield Installation(tmp_path, url)


def slow(latency: float, concurrency: int = 64) -> dict[str, AccountSettings]:
    """Make an account that takes its time."""
    simulated = SimulatorSettings(latency=latency)
    return {"simulator": AccountSettings(provider="simulator", concurrency=concurrency, simulator=simulated)}


async def calls_under_way(worker: RunningApp, number: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while (await worker.call("GET", "/health"))[1]["requests_in_flight"] < number:
            pass


async def problems(app: RunningApp) -> list[str]:
    return problem_texts((await app.call("GET", "/health"))[1])


async def test_a_gateway_takes_batches_in_and_a_worker_runs_them(installation: Installation) -> None:
    async with installation.running("gateway") as gateway:
        batch = await gateway.create("a", "b", "c")
        assert any("workers" in problem for problem in await problems(gateway))
        async with installation.running("worker"), asyncio.timeout(PATIENCE):
            await gateway.ended(batch["id"])
            assert [result["custom_id"] for result in await gateway.results(batch["id"])] == ["a", "b", "c"]
            while await problems(gateway):
                pass


async def test_several_workers_share_a_batch(installation: Installation) -> None:
    accounts = slow(0.02, concurrency=30)
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(installation.running("gateway"))
        workers = [await stack.enter_async_context(installation.running("worker", accounts=accounts)) for _ in range(3)]
        batch = await gateway.create(*(f"r{number}" for number in range(6_000)))
        async with asyncio.timeout(PATIENCE):
            ended = await gateway.ended(batch["id"])
        assert ended["request_counts"]["succeeded"] == 6_000
        results = await gateway.results(batch["id"])
        assert [result["custom_id"] for result in results] == [f"r{number}" for number in range(6_000)]
        assert all(worker.app[ENGINE].cluster.workers == 3 for worker in workers)


async def test_a_cancel_reaches_what_runs_elsewhere_within_a_second(installation: Installation) -> None:
    async with (
        installation.running("gateway") as gateway,
        installation.running("worker", accounts=slow(0.2, concurrency=4)) as worker,
    ):
        batch = await gateway.create(*(f"r{number}" for number in range(1_000)))
        await calls_under_way(worker, 4)
        begun = asyncio.get_running_loop().time()
        await gateway.call("POST", f"{BATCHES}/{batch['id']}/cancel")
        counts = (await gateway.ended(batch["id"]))["request_counts"]
        assert asyncio.get_running_loop().time() - begun < 1.0
        assert counts["canceled"] == 1_000 - counts["succeeded"]


async def test_what_expires_is_halted_wherever_it_runs(installation: Installation) -> None:
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(installation.running("gateway"))
        for _ in range(2):
            await stack.enter_async_context(installation.running("worker", accounts=slow(0.2, concurrency=4)))
        batch = await gateway.create(*(f"r{number}" for number in range(1_000)))
        installation.clock.move(24 * 3600)
        async with asyncio.timeout(PATIENCE):
            counts = (await gateway.ended(batch["id"]))["request_counts"]
        assert counts["expired"] == 1_000 - counts["succeeded"]


async def test_a_file_is_validated_by_some_worker(installation: Installation) -> None:
    async with installation.running("gateway") as gateway, installation.running("worker"):
        batch = await openai_batches.create(gateway, *(openai_batches.chat_line(f"r{number}") for number in range(10)))
        async with asyncio.timeout(PATIENCE):
            assert (await openai_batches.settled(gateway, batch["id"]))["request_counts"]["completed"] == 10


async def test_a_worker_that_stops_gives_its_shards_back_at_once(installation: Installation) -> None:
    # It would be three minutes if another one had to find out.
    long: dict[str, Any] = {"worker_heartbeat_timeout": 180.0}
    async with installation.running("gateway", **long) as gateway:
        slowly = slow(0.1, concurrency=2)
        async with installation.running("worker", accounts=slowly, shutdown_timeout=0.0, **long) as worker:
            batch = await gateway.create(*(f"r{number}" for number in range(600)))
            await calls_under_way(worker, 2)
        async with installation.running("worker", **long), asyncio.timeout(PATIENCE):
            await gateway.ended(batch["id"])


async def test_however_many_batches_of_an_account_that_is_down_wait_in_front_others_are_reached(
    installation: Installation,
) -> None:
    # A worker that had something of it in memory looked at one more shard a second, and each that it had no room for
    # came back after half a minute at the latest: of so many it did not get to the end.
    accounts = {
        "down": AccountSettings(provider="anthropic", base_url=f"http://127.0.0.1:{unused_port()}"),
        "simulator": simulator(),
    }
    async with installation.running("gateway", accounts=accounts) as gateway:
        body = create_body(*(f"r{number}" for number in range(1_000)), model="down/m")
        for _ in range(30):
            assert (await gateway.call("POST", BATCHES, json=body))[0] == 200
        last_body = create_body("a", "b", model="simulator/m")
        last = (await gateway.call("POST", BATCHES, json=last_body))[1]
        worker = installation.running("worker", accounts=accounts, shutdown_timeout=0.0)
        async with worker, asyncio.timeout(PATIENCE):
            assert (await gateway.ended(last["id"]))["request_counts"]["succeeded"] == 2


async def test_a_shard_that_a_worker_taken_for_dead_claims_again_is_run_by_the_one_that_has_its_job(
    installation: Installation,
) -> None:
    # The one that had the job found that its claim was good no more, took the shard for done, and ended the job. When
    # the other found out that it was taken for dead, nobody had the shard until the sweeper looked, a minute later.
    async with (
        installation.running("gateway") as gateway,
        installation.running("worker", accounts=slow(0.5)) as worker,
        PostgresStore(PostgresAddress(installation.url)) as dead,
    ):
        batch = await gateway.create("a", "b")
        await calls_under_way(worker, 2)
        (job,) = await dead.unfinished_jobs()
        claim = await dead.claim_shard(job)
        assert claim is not None
        await dead.release_shard(claim)
        async with asyncio.timeout(PATIENCE):
            ended = await gateway.ended(batch["id"])
        assert ended["request_counts"]["succeeded"] == 2


class LateClaims(PostgresStore):
    """A store of which one claim is told late."""

    claimed: asyncio.Event
    told: asyncio.Event

    async def claim_shard(self, job: ShardJob) -> Claim | None:
        """Claim, and let something else come first, the first time."""
        claim = await super().claim_shard(job)
        if not self.claimed.is_set():
            self.claimed.set()
            await self.told.wait()
        return claim


async def test_a_worker_that_was_taken_for_dead_while_it_claimed_a_shard_does_not_run_it(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batchgate.store.postgres.PostgresStore", LateClaims)
    LateClaims.claimed, LateClaims.told = asyncio.Event(), asyncio.Event()
    async with installation.running("gateway") as gateway, installation.running("worker", accounts=slow(1.0)) as dead:
        batch = await gateway.create("a", "b")
        await LateClaims.claimed.wait()
        async with (
            installation.running("worker", accounts=slow(1.0)) as living,
            await psycopg.AsyncConnection.connect(installation.url, autocommit=True) as connection,
        ):
            await connection.execute(
                "DELETE FROM procrastinate_workers "
                "WHERE id = (SELECT worker_id FROM procrastinate_jobs WHERE status = 'doing')"
            )
            await calls_under_way(living, 2)
            LateClaims.told.set()
            while (await living.call("GET", "/health"))[1]["requests_in_flight"]:
                assert (await dead.call("GET", "/health"))[1]["requests_in_flight"] == 0
            await gateway.ended(batch["id"])


async def paused(app: RunningApp, batch: dict[str, Any]) -> str | None:
    progress = (await app.call("GET", f"/api/batches/{batch['id']}/progress"))[1]
    return None if progress["paused"] is None else str(progress["paused"]["reason"])


async def test_a_gateway_says_of_a_worker_whose_key_is_rejected_that_its_account_is_paused(
    installation: Installation,
) -> None:
    # Nothing but the gateway is reached by teams: it said "ok" and `paused` was null, and their batch just hung.
    accounts = {"mine": simulator(require_key="another"), "simulator": simulator()}
    default = {"accounts": accounts, "default_provider": "simulator", "shutdown_timeout": 0.0}
    reason = "account 'mine' is paused: the provider rejects its key (401)"
    async with installation.running("gateway", **default) as gateway:
        async with installation.running("worker", **default) as worker, asyncio.timeout(PATIENCE):
            body = create_body("a", "b", model="mine/m")
            waiting = (await gateway.call("POST", BATCHES, json=body))[1]
            while not (told := await problems(gateway)):
                pass
            assert told == [f"account/mine: worker {worker.app[ENGINE].cluster.member}: {reason}"]
            assert (await gateway.call("GET", "/health"))[1]["status"] == "degraded"
            assert await paused(gateway, waiting) == reason
            assert await paused(gateway, await gateway.create("c")) is None, "it runs on another account"
            await gateway.call("POST", f"{BATCHES}/{waiting['id']}/cancel")
            while await problems(gateway):
                pass
        while not any("no worker is running" in problem for problem in await problems(gateway)):
            pass


async def test_a_gateway_says_of_a_worker_that_it_does_not_find_the_bodies(
    installation: Installation, tmp_path: Path
) -> None:
    # Two local folders where one was meant: nothing but the worker knew, and the batch just hung.
    folder = (tmp_path / "elsewhere").as_uri()
    async with (
        installation.running("gateway", blob_url=None) as gateway,
        installation.running("worker", blob_url=folder) as worker,
        asyncio.timeout(PATIENCE),
    ):
        await gateway.create("a")
        while not (told := await problems(gateway)):
            pass
        [own] = await problems(worker)
        component, _, message = own.partition(": ")
        assert told == [f"{component}: worker {worker.app[ENGINE].cluster.member}: {message}"]
        assert component == "input"


@pytest.mark.parametrize("role", ["gateway", "worker"])
def test_a_process_that_needs_others_needs_a_database_to_share_with_them(tmp_path: Path, role: Role) -> None:
    with pytest.raises(ConfigurationError, match="database_url: a PostgreSQL database, since batchgate "):
        build_app(Settings(data_dir=str(tmp_path)), role=role, environment={})
