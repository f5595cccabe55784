"""A running batch is moved to another lane: its jobs are taken back, or the rest of its requests goes into jobs."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from batchgate.account_settings import AccountSettings
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.provider_task import ProviderTask
from batchgate.providers.simulator.server import SimulatorStats
from batchgate.providers.simulator.simulator import SimulatorSettings
from batchgate.store.sqlite.tasks import SqliteTasks
from tests.integration.native.lane_client import BASES
from tests.integration.native.native_gateway import KEY, MIN_REQUESTS, NativeGateway, native_gateway
from tests.support.databases import Database, DatabaseKind, new_database
from tests.support.running_app import BATCHES, MovableClock, RunningApp, params, running_app
from tests.support.simulated_batches import simulated_providers

IDS = [f"request-{number}" for number in range(3 * MIN_REQUESTS)]
RUNNING = 600
HOUR = 3600.0
MOVED = "its batch was moved to the lane direct"


async def set_lane(app: RunningApp, batch_id: str, lane: str, *, status: int = 200) -> dict[str, Any]:
    found, answer = await app.call("PUT", f"/api/batches/{batch_id}/lane", json={"lane": lane})
    assert found == status, answer
    assert isinstance(answer, dict)
    return answer


async def running_batch(gateway: NativeGateway, lane: str, *, seconds: float = 1.0, cancelling: float = 5.0) -> str:
    """Create a batch whose job has run for some time at the provider, and return its id."""
    await gateway.providers.configure(running=RUNNING, cancelling=cancelling)
    batch = await gateway.create(*IDS, headers={"batchgate-lane": lane})
    while [job["state"] for job in (await gateway.progress(batch["id"]))["jobs"]] != ["running"]:
        await gateway.pass_time(1.0)
    await gateway.pass_time(seconds)
    return str(batch["id"])


async def move_to_direct(gateway: NativeGateway, batch_id: str) -> None:
    """Move a batch, and wait until its job is being canceled, which only the move may lead to: no time passes."""
    await set_lane(gateway.app, batch_id, "direct")
    while (await gateway.progress(batch_id))["jobs"][0]["reason"] != MOVED:
        await gateway.pass_time(0.0)


async def calls(gateway: NativeGateway) -> int:
    """Count the direct calls that the provider got."""
    async with gateway.providers.http.get(f"{gateway.providers.url}/stats") as response:
        return msgspec.json.decode(await response.read(), type=SimulatorStats).calls


async def outcomes(gateway: NativeGateway, batch_id: str) -> Counter[str]:
    return Counter(result["result"]["type"] for result in await gateway.app.results(batch_id))


async def timeline(app: RunningApp, batch_id: str) -> list[tuple[str, str | None]]:
    _, answer = await app.call("GET", f"/api/batches/{batch_id}/timeline")
    assert isinstance(answer, dict)
    return [(entry["action"], entry["detail"]) for entry in answer["data"]]


@pytest.mark.parametrize("lane", ["auto", "native"])
async def test_a_running_job_is_canceled_keeps_its_results_and_the_rest_is_called(tmp_path: Path, lane: str) -> None:
    async with native_gateway(tmp_path) as gateway:
        batch_id = await running_batch(gateway, lane, seconds=RUNNING / 2)
        await move_to_direct(gateway, batch_id)
        assert (await set_lane(gateway.app, batch_id, "direct"))["lane"] == "direct"
        await gateway.until_ended(batch_id)
        assert await outcomes(gateway, batch_id) == {"succeeded": len(IDS)}
        (job,) = (await gateway.progress(batch_id))["jobs"]
        assert (job["state"], job["reason"]) == ("failed", MOVED)
        assert 0 < job["answered"] < len(IDS)
        assert [job.state for job in await gateway.providers.jobs()] == ["cancelled"]
        assert await timeline(gateway.app, batch_id) == [("lane_changed", "direct")]


async def test_a_planned_job_is_withdrawn_while_its_batch_is_paused_and_called_after_the_resume(tmp_path: Path) -> None:
    async with native_gateway(tmp_path) as gateway:
        await gateway.providers.play(refuse_creates=1000)
        batch_id = (await gateway.create(*IDS))["id"]
        await gateway.app.call("POST", f"/api/batches/{batch_id}/pause")
        while [job["state"] for job in (await gateway.progress(batch_id))["jobs"]] != ["planned"]:
            await gateway.pass_time(1.0)
        await set_lane(gateway.app, batch_id, "direct")
        while [job["state"] for job in (await gateway.progress(batch_id))["jobs"]] != ["withdrawn"]:
            await gateway.pass_time(0.0)  # nothing else wakes the job
        await gateway.pass_time(60.0)
        assert (await gateway.progress(batch_id))["succeeded"] == 0
        await gateway.app.call("POST", f"/api/batches/{batch_id}/resume")
        await gateway.until_ended(batch_id)
        assert await outcomes(gateway, batch_id) == {"succeeded": len(IDS)}
        assert await gateway.providers.jobs() == []


async def test_what_a_job_answers_after_its_batch_was_moved_counts_as_paid_twice(tmp_path: Path) -> None:
    async with native_gateway(tmp_path) as gateway:
        await gateway.providers.play(cancellation="loses_race")
        batch_id = await running_batch(gateway, "native", cancelling=HOUR)
        await move_to_direct(gateway, batch_id)
        await gateway.until_ended(batch_id, step=60.0)
        while not (progress := await gateway.progress(batch_id))["paid_twice"]:
            await gateway.pass_time(HOUR / 12)
        assert progress["paid_twice"] == len(IDS)
        assert await outcomes(gateway, batch_id) == {"succeeded": len(IDS)}


async def test_a_batch_of_the_lane_native_may_call_what_its_job_leaves_after_it_was_moved_to_auto(
    tmp_path: Path,
) -> None:
    async with native_gateway(tmp_path) as gateway:
        await gateway.providers.play(fail_with="model_not_found")
        batch_id = await running_batch(gateway, "native")
        await set_lane(gateway.app, batch_id, "auto")
        await gateway.until_ended(batch_id)
        assert await outcomes(gateway, batch_id) == {"succeeded": len(IDS)}


@pytest.mark.parametrize("lane", ["auto", "native"])
async def test_a_batch_that_is_moved_back_while_its_job_is_canceled_puts_the_rest_into_another_job(
    tmp_path: Path, lane: str
) -> None:
    async with native_gateway(tmp_path) as gateway:
        batch_id = await running_batch(gateway, "auto", seconds=RUNNING / 2, cancelling=60.0)
        await move_to_direct(gateway, batch_id)
        await set_lane(gateway.app, batch_id, lane)
        await gateway.until_ended(batch_id)
        assert await outcomes(gateway, batch_id) == {"succeeded": len(IDS)}
        canceled, second = (await gateway.progress(batch_id))["jobs"]
        assert (canceled["state"], canceled["reason"], second["state"]) == ("failed", MOVED, "done")
        assert canceled["answered"] + second["answered"] == len(IDS)
        assert await calls(gateway) == 0


@dataclass(frozen=True)
class Case:
    """A move of a batch that runs directly, with a request at its end that no job takes."""

    lane: str
    database: DatabaseKind
    parts: set[tuple[str, str]]
    """The lanes that the requests take which had not been sent, and why."""
    called: int
    """How many of these are called."""


NATIVE = "native"
LARGE = {f"r{number}": params() for number in range(600)} | {"refused": params() | {"store": True}}
"""Two shards."""
REFUSAL = "store: Message Batches do not take it; in the lane auto it would run directly"
CASES = [
    Case("auto", "sqlite", {(NATIVE, "cheaper"), ("direct", "not_accepted")}, 1),
    Case("native", "postgres", {(NATIVE, "lane_native"), ("none", "not_accepted")}, 0),
]


@asynccontextmanager
async def calling_gateway(data_dir: Path, database: Database) -> AsyncIterator[NativeGateway]:
    """Run a gateway whose calls take some time, on PostgreSQL beside another one with a worker of its own."""
    async with simulated_providers(SimulatorSettings(latency=0.05)) as providers, AsyncExitStack() as stack:
        account = AccountSettings(
            provider="anthropic",
            base_url=providers.url + BASES["anthropic"],
            api_key=KEY,
            lane="auto",
            native_min_requests=MIN_REQUESTS,
            concurrency=4,
        )
        settings: dict[str, Any] = {"accounts": {"anthropic": account}, "database_url": database.url}
        clock, number = MovableClock(), 1 if database.url is None else 2
        apps = [await stack.enter_async_context(running_app(data_dir, clock=clock, **settings)) for _ in range(number)]
        yield NativeGateway(apps[0], providers, "anthropic")


async def create_direct(gateway: NativeGateway, requests: dict[str, Any]) -> str:
    """Create a batch that runs directly, and wait for its first result."""
    body = {"requests": [{"custom_id": name, "params": sent} for name, sent in requests.items()]}
    status, batch = await gateway.app.call("POST", BATCHES, json=body, headers={"batchgate-lane": "direct"})
    assert status == 200, batch
    assert isinstance(batch, dict)
    while not (await gateway.progress(batch["id"]))["succeeded"]:
        pass
    return str(batch["id"])


async def test_a_moved_batch_ends_although_it_is_steered_while_a_worker_reads_its_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A resume in these moments started requests of a run that had not begun: it never ended, nor did the process.
    reading, may_read = asyncio.Event(), asyncio.Event()
    tasks_of = SqliteTasks.tasks_of

    async def slow_tasks_of(tasks: SqliteTasks, claim: Claim) -> Sequence[ProviderTask]:
        reading.set()
        await may_read.wait()
        return await tasks_of(tasks, claim)

    monkeypatch.setattr(SqliteTasks, "tasks_of", slow_tasks_of)
    async with native_gateway(tmp_path) as gateway:
        batch_id = await running_batch(gateway, "native")
        await move_to_direct(gateway, batch_id)
        while not reading.is_set():
            await gateway.pass_time(1.0)
        await gateway.app.call("PUT", f"/api/batches/{batch_id}/concurrency", json={"concurrency": 4})
        for action in ("pause", "resume"):
            await gateway.app.call("POST", f"/api/batches/{batch_id}/{action}")
            await gateway.pass_time(1.0)
        may_read.set()
        await gateway.until_ended(batch_id)
        assert await outcomes(gateway, batch_id) == {"succeeded": len(IDS)}


async def test_a_job_that_was_rescued_before_its_batch_was_moved_to_native_leaves_its_requests_to_another_job(
    tmp_path: Path,
) -> None:
    async with native_gateway(tmp_path) as gateway:
        await gateway.providers.configure(running=300 * HOUR, cancelling=5.0)
        batch_id = (await gateway.create(*IDS, headers={"batchgate-lane": "auto"}))["id"]
        while [job["state"] for job in (await gateway.progress(batch_id))["jobs"]] != ["running"]:
            await gateway.pass_time(1.0)
        await gateway.pass_time(23 * HOUR)
        while (await gateway.progress(batch_id))["jobs"][0]["reason"] is None:
            await gateway.pass_time(10.0)
        await gateway.providers.configure(running=60.0)  # little time is left
        await set_lane(gateway.app, batch_id, "native")
        while not (await gateway.progress(batch_id))["lanes"]:
            await gateway.pass_time(0.0)
        await gateway.until_ended(batch_id, step=1)
        assert await outcomes(gateway, batch_id) == {"succeeded": len(IDS)}
        assert [job["state"] for job in (await gateway.progress(batch_id))["jobs"]] == ["failed", "done"]
        assert await calls(gateway) == 0


@pytest.mark.parametrize("case", CASES, ids=["auto", "native-paused-two-processes"])
async def test_what_was_not_sent_of_a_batch_that_runs_directly_goes_into_jobs_and_nothing_is_asked_for_twice(
    tmp_path: Path, case: Case
) -> None:
    with new_database(case.database, tmp_path) as database:
        async with calling_gateway(tmp_path, database) as gateway:
            batch_id = await create_direct(gateway, LARGE)
            if database.url is not None:
                await gateway.app.call("POST", f"/api/batches/{batch_id}/pause")
            for _ in range(2):
                assert (await set_lane(gateway.app, batch_id, case.lane))["lane"] == case.lane
            while not (lanes := (await gateway.progress(batch_id))["lanes"]):
                pass  # the calls in flight finish
            called = len(LARGE) - sum(part["requests"] for part in lanes)
            if database.url is not None:
                assert [job["state"] for job in (await gateway.progress(batch_id))["jobs"]] == ["planned"]
                await gateway.app.call("POST", f"/api/batches/{batch_id}/resume")
            await gateway.until_ended(batch_id)
            assert {(part["lane"], part["code"]) for part in lanes} == case.parts
            assert 0 < called < len(LARGE)
            assert await calls(gateway) == called + case.called
            in_jobs = sum(job["answered"] for job in (await gateway.progress(batch_id))["jobs"])
            assert in_jobs == sum(part["requests"] for part in lanes if part["lane"] == NATIVE)
            results = {line["custom_id"]: line["result"] for line in await gateway.app.results(batch_id)}
            assert list(results) == list(LARGE)
            errors = {name: result["error"]["error"] for name, result in results.items() if "error" in result}
            assert {name: error["message"] for name, error in errors.items()} == (
                {"refused": REFUSAL} if case.lane == NATIVE else {}
            )
            answer = await set_lane(gateway.app, batch_id, "direct", status=400)
            assert "has ended; its lane cannot be changed" in answer["error"]["message"]
            changes = [entry for entry in await timeline(gateway.app, batch_id) if entry[0] == "lane_changed"]
            assert changes == [("lane_changed", case.lane)]


@asynccontextmanager
async def gateway_of(data_dir: Path, url: str, clock: MovableClock) -> AsyncIterator[RunningApp]:
    account = AccountSettings(
        provider="openai", base_url=url + BASES["openai"], api_key=KEY, lane="native", native_min_requests=MIN_REQUESTS
    )
    async with running_app(data_dir, clock=clock, accounts={"openai": account}) as app:
        yield app


async def test_a_batch_that_was_moved_before_a_stop_runs_directly_after_the_restart(tmp_path: Path) -> None:
    clock = MovableClock()
    async with simulated_providers() as providers:
        async with gateway_of(tmp_path, providers.url, clock) as app:
            gateway = NativeGateway(app, providers)
            batch_id = await running_batch(gateway, "native", seconds=RUNNING / 2)
            await providers.play(outage=503)
            await move_to_direct(gateway, batch_id)
        await providers.play()
        async with gateway_of(tmp_path, providers.url, clock) as app:
            gateway = NativeGateway(app, providers)
            await gateway.until_ended(batch_id)
            assert await outcomes(gateway, batch_id) == {"succeeded": len(IDS)}
            assert [job["reason"] for job in (await gateway.progress(batch_id))["jobs"]] == [MOVED]
