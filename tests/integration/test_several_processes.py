"""Gateways and workers on one PostgreSQL database, each as a separate application in the test process."""

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

from batchgate.account_settings import AccountSettings
from batchgate.app import ENGINE, build_app
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.errors import ConfigurationError
from batchgate.engine.model.shard import QueuedShard
from batchgate.installation import Role
from batchgate.providers.simulator.simulator import SimulatorSettings
from batchgate.settings import Settings
from batchgate.store.postgres import PostgresAddress, PostgresStore
from tests.support import openai_batches
from tests.support.health import problem_texts
from tests.support.postgres_server import fresh_database
from tests.support.running_app import BATCHES, MovableClock, RunningApp, create_body, running_app, simulator

TIMEOUT = 120.0  # seconds; only a state that never comes should exceed it


@dataclass
class Installation:
    """One database and one blob folder that several applications share."""

    folder: Path
    url: str
    clock: MovableClock = field(default_factory=MovableClock)

    @asynccontextmanager
    async def running(self, role: Role, **settings: Any) -> AsyncIterator[RunningApp]:
        """Run one application with a role."""
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


def slow_accounts(latency: float, concurrency: int = 64) -> dict[str, AccountSettings]:
    """Make a slow account."""
    simulated = SimulatorSettings(latency=latency)
    return {"simulator": AccountSettings(provider="simulator", concurrency=concurrency, simulator=simulated)}


async def wait_for_calls_in_flight(worker: RunningApp, number: int) -> None:
    async with asyncio.timeout(TIMEOUT):
        while (await worker.call("GET", "/health"))[1]["requests_in_flight"] < number:
            pass


async def health_problems(app: RunningApp) -> list[str]:
    return problem_texts((await app.call("GET", "/health"))[1])


async def test_a_gateway_accepts_a_batch_and_a_worker_runs_it(installation: Installation) -> None:
    async with installation.running("gateway") as gateway:
        batch = await gateway.create("a", "b", "c")
        assert any("workers" in problem for problem in await health_problems(gateway))
        async with installation.running("worker"), asyncio.timeout(TIMEOUT):
            await gateway.ended(batch["id"])
            assert [result["custom_id"] for result in await gateway.results(batch["id"])] == ["a", "b", "c"]
            while await health_problems(gateway):
                pass


async def test_gateways_accept_together_as_many_creates_in_a_minute_as_the_quota_says(
    installation: Installation,
) -> None:
    quotas = {"quotas": {"creates_per_minute": 7}}
    async with installation.running("gateway") as one, installation.running("gateway") as two:
        assert (await one.call("PATCH", "/api/workspaces/default", json=quotas))[0] == 200
        creates = [app.call("POST", BATCHES, json=create_body("a")) for _ in range(10) for app in (one, two)]
        statuses = [status for status, _ in await asyncio.gather(*creates)]
        assert sorted(statuses) == [200] * 7 + [429] * 13
        for app in (one, two):
            assert (await app.call("GET", "/api/usage"))[1]["workspace"]["use"]["creates_per_minute"] == 7
        installation.clock.move(20)  # to the next minute
        assert (await two.call("POST", BATCHES, json=create_body("a")))[0] == 200


async def test_several_workers_share_a_batch(installation: Installation) -> None:
    accounts = slow_accounts(0.02, concurrency=30)
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(installation.running("gateway"))
        workers = [await stack.enter_async_context(installation.running("worker", accounts=accounts)) for _ in range(3)]
        batch = await gateway.create(*(f"r{number}" for number in range(6_000)))
        async with asyncio.timeout(TIMEOUT):
            ended = await gateway.ended(batch["id"])
        assert ended["request_counts"]["succeeded"] == 6_000
        results = await gateway.results(batch["id"])
        assert [result["custom_id"] for result in results] == [f"r{number}" for number in range(6_000)]
        assert all(worker.app[ENGINE].cluster.workers == 3 for worker in workers)


async def test_a_cancel_on_a_gateway_reaches_the_worker_within_a_second(installation: Installation) -> None:
    async with (
        installation.running("gateway") as gateway,
        installation.running("worker", accounts=slow_accounts(0.2, concurrency=4)) as worker,
    ):
        batch = await gateway.create(*(f"r{number}" for number in range(1_000)))
        await wait_for_calls_in_flight(worker, 4)
        before = (await gateway.call("GET", f"/api/batches/{batch['id']}/progress"))[1]["succeeded"]
        await gateway.call("POST", f"{BATCHES}/{batch['id']}/cancel")
        counts = (await gateway.ended(batch["id"]))["request_counts"]
        # Counted in calls, so that it holds on a busy machine: four calls at once of 0.2 s are 20 in a second.
        assert counts["succeeded"] - before <= 20 + 2 * 4
        assert counts["canceled"] == 1_000 - counts["succeeded"]


async def test_a_pause_on_a_gateway_reaches_the_worker_within_a_second_and_so_does_a_resume(
    installation: Installation,
) -> None:
    async with (
        installation.running("gateway") as gateway,
        installation.running("worker", accounts=slow_accounts(0.2, concurrency=4)) as worker,
        asyncio.timeout(TIMEOUT),
    ):
        batch = await gateway.create(*(f"r{number}" for number in range(100)))
        for _ in range(2):
            await wait_for_calls_in_flight(worker, 4)
            before = (await gateway.call("GET", f"/api/batches/{batch['id']}/progress"))[1]["succeeded"]
            await gateway.call("POST", f"/api/batches/{batch['id']}/pause")
            while (await worker.call("GET", "/health"))[1]["requests_in_flight"]:
                pass
            paused_at = (await gateway.call("GET", f"/api/batches/{batch['id']}/progress"))[1]["succeeded"]
            # Counted in calls, as above.
            assert paused_at - before <= 20 + 2 * 4
            await gateway.call("POST", f"/api/batches/{batch['id']}/resume")
        assert (await gateway.ended(batch["id"]))["request_counts"]["succeeded"] == 100


async def test_every_worker_stops_sending_an_expired_batch(installation: Installation) -> None:
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(installation.running("gateway"))
        for _ in range(2):
            await stack.enter_async_context(installation.running("worker", accounts=slow_accounts(0.2, concurrency=4)))
        batch = await gateway.create(*(f"r{number}" for number in range(1_000)))
        installation.clock.move(24 * 3600)
        async with asyncio.timeout(TIMEOUT):
            counts = (await gateway.ended(batch["id"]))["request_counts"]
        assert counts["expired"] == 1_000 - counts["succeeded"]


async def test_a_worker_validates_the_file_of_a_batch(installation: Installation) -> None:
    async with installation.running("gateway") as gateway, installation.running("worker"):
        batch = await openai_batches.create(gateway, *(openai_batches.chat_line(f"r{number}") for number in range(10)))
        async with asyncio.timeout(TIMEOUT):
            assert (await openai_batches.wait_for_final_status(gateway, batch["id"]))["request_counts"][
                "completed"
            ] == 10


async def test_a_worker_that_stops_releases_its_shards_at_once(installation: Installation) -> None:
    # With this timeout, another process would need three minutes to detect that the worker is gone.
    long_timeout: dict[str, Any] = {"worker_heartbeat_timeout": 180.0}
    async with installation.running("gateway", **long_timeout) as gateway:
        accounts = slow_accounts(0.1, concurrency=2)
        async with installation.running("worker", accounts=accounts, shutdown_timeout=0.0, **long_timeout) as worker:
            batch = await gateway.create(*(f"r{number}" for number in range(600)))
            await wait_for_calls_in_flight(worker, 2)
        async with installation.running("worker", **long_timeout), asyncio.timeout(TIMEOUT):
            await gateway.ended(batch["id"])


async def test_many_batches_of_an_unreachable_account_do_not_block_a_batch_of_another_account(
    installation: Installation,
) -> None:
    # Once, a worker that already held shards of the unreachable account claimed one more shard a second. Each shard for
    # which it had no capacity returned to the queue after at most half a minute. With so many shards, the worker never
    # reached the end of the queue.
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
        async with worker, asyncio.timeout(TIMEOUT):
            assert (await gateway.ended(last["id"]))["request_counts"]["succeeded"] == 2


async def test_a_shard_that_an_evicted_worker_claims_again_is_run_by_the_worker_that_has_its_job(
    installation: Installation,
) -> None:
    # Once, the worker with the job found that its claim was stale, considered the shard done, and completed the job.
    # Then the other worker detected that it had been evicted. No worker had the shard until the sweeper found it a
    # minute later.
    async with (
        installation.running("gateway") as gateway,
        installation.running("worker", accounts=slow_accounts(0.5)) as worker,
        PostgresStore(PostgresAddress(installation.url)) as evicted,
    ):
        batch = await gateway.create("a", "b")
        await wait_for_calls_in_flight(worker, 2)
        (job,) = await evicted.unfinished_jobs()
        claim = await evicted.claim_shard(job)
        assert claim is not None
        await evicted.release_shard(claim)
        async with asyncio.timeout(TIMEOUT):
            ended = await gateway.ended(batch["id"])
        assert ended["request_counts"]["succeeded"] == 2


class DelayedClaimStore(PostgresStore):
    """A store that returns its first claim late."""

    claimed: asyncio.Event
    resume: asyncio.Event

    async def claim_shard(self, job: QueuedShard) -> Claim | None:
        """Claim a shard; the first time, wait for the test before the claim is returned."""
        claim = await super().claim_shard(job)
        if not self.claimed.is_set():
            self.claimed.set()
            await self.resume.wait()
        return claim


async def test_a_worker_that_is_evicted_while_it_claims_a_shard_does_not_run_it(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("batchgate.store.postgres.PostgresStore", DelayedClaimStore)
    DelayedClaimStore.claimed, DelayedClaimStore.resume = asyncio.Event(), asyncio.Event()
    async with (
        installation.running("gateway") as gateway,
        installation.running("worker", accounts=slow_accounts(3.0)) as evicted,
    ):
        batch = await gateway.create("a", "b")
        await DelayedClaimStore.claimed.wait()
        async with (
            installation.running("worker", accounts=slow_accounts(3.0)) as other_worker,
            await psycopg.AsyncConnection.connect(installation.url, autocommit=True) as connection,
        ):
            await connection.execute(
                "DELETE FROM procrastinate_workers "
                "WHERE id = (SELECT worker_id FROM procrastinate_jobs WHERE status = 'doing')"
            )
            await wait_for_calls_in_flight(other_worker, 2)
            while not any(getattr(record, "action", None) == "worker_evicted" for record in caplog.records):
                await evicted.call("GET", "/health")
            DelayedClaimStore.resume.set()
            while (await other_worker.call("GET", "/health"))[1]["requests_in_flight"]:
                assert (await evicted.call("GET", "/health"))[1]["requests_in_flight"] == 0
            await gateway.ended(batch["id"])


async def pause_reason(app: RunningApp, batch: dict[str, Any]) -> str | None:
    progress = (await app.call("GET", f"/api/batches/{batch['id']}/progress"))[1]
    return None if progress["paused"] is None else str(progress["paused"]["reason"])


async def test_a_gateway_reports_the_paused_account_of_a_worker_whose_key_is_rejected(
    installation: Installation,
) -> None:
    # Teams can reach only the gateway. Once, it reported "ok" and `paused` was null while their batch was stuck.
    accounts = {"mine": simulator(require_key="another"), "simulator": simulator()}
    default = {"accounts": accounts, "default_provider": "simulator", "shutdown_timeout": 0.0}
    reason = "account 'mine' is paused: the provider rejects its key (401)"
    async with installation.running("gateway", **default) as gateway:
        async with installation.running("worker", **default) as worker, asyncio.timeout(TIMEOUT):
            body = create_body("a", "b", model="mine/m")
            waiting = (await gateway.call("POST", BATCHES, json=body))[1]
            while not (reported := await health_problems(gateway)):
                pass
            assert reported == [f"account/mine: worker {worker.app[ENGINE].cluster.member}: {reason}"]
            assert (await gateway.call("GET", "/health"))[1]["status"] == "degraded"
            assert await pause_reason(gateway, waiting) == reason
            assert await pause_reason(gateway, await gateway.create("c")) is None, "it runs on another account"
            await gateway.call("POST", f"{BATCHES}/{waiting['id']}/cancel")
            while await health_problems(gateway):
                pass
        while not any("no worker is running" in problem for problem in await health_problems(gateway)):
            pass


async def test_a_gateway_shows_the_last_refusal_of_a_batch_that_waits_at_a_worker(installation: Installation) -> None:
    accounts = {"mine": simulator(rate_limit_rate=1.0, retry_after=3600), "simulator": simulator()}
    default = {"accounts": accounts, "default_provider": "simulator", "shutdown_timeout": 0.0}
    async with (
        installation.running("gateway", **default) as gateway,
        installation.running("worker", **default),
        asyncio.timeout(TIMEOUT),
    ):
        waiting = (await gateway.call("POST", BATCHES, json=create_body("a", "b", model="mine/m")))[1]
        other = await gateway.create("c")
        path = f"/api/batches/{waiting['id']}/progress"
        while (progress := (await gateway.call("GET", path))[1])["last_refusal"] is None or progress["paused"] is None:
            pass
        refusal = progress["last_refusal"]
        assert (refusal["code"], refusal["status"], refusal["account"], refusal["model"]) == (
            "rate_limit_error",
            429,
            "mine",
            "m",
        )
        assert progress["paused"]["code"] == "rate_limited"
        assert "the provider asked to wait 60 min" in progress["paused"]["reason"]
        assert (await gateway.call("GET", f"/api/batches/{other['id']}/progress"))[1]["paused"] is None
        while not any("slowed down" in problem for problem in await health_problems(gateway)):
            pass


async def test_a_gateway_reports_a_worker_that_cannot_find_the_blobs(
    installation: Installation, tmp_path: Path
) -> None:
    # Two local folders were configured instead of one. Once, only the worker reported it, and the batch was stuck.
    folder = (tmp_path / "elsewhere").as_uri()
    async with (
        installation.running("gateway", blob_url=None) as gateway,
        installation.running("worker", blob_url=folder) as worker,
        asyncio.timeout(TIMEOUT),
    ):
        await gateway.create("a")
        while not (reported := await health_problems(gateway)):
            pass
        [own] = await health_problems(worker)
        component, _, message = own.partition(": ")
        assert reported == [f"{component}: worker {worker.app[ENGINE].cluster.member}: {message}"]
        assert component == "input"


@pytest.mark.parametrize("role", ["gateway", "worker"])
def test_a_separate_gateway_or_worker_needs_a_postgres_database(tmp_path: Path, role: Role) -> None:
    with pytest.raises(ConfigurationError, match="database_url: a PostgreSQL database, which `batchgate "):
        build_app(Settings(data_dir=str(tmp_path)), role=role, environment={})
