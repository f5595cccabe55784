"""Two gateways and three workers are killed while a batch travels in jobs of a provider; nothing is lost or paid twice.

All workers are killed when they come to the same step of a job, whichever of them runs it then. At a random moment all
processes are killed, and one that the test runs finishes the batch, with a clock that the test moves: a job in doubt is
looked for for minutes. A failure names its seed. ``NATIVE_FAILOVER_SEEDS=20`` runs more seeds.
"""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway_process import GatewayProcess, WorkerProcess
from tests.support.native_crashes import TOKENS, NativeCrashes, native_crashes
from tests.support.postgres_server import fresh_database
from tests.support.running_app import BATCHES
from tests.support.simulated_upstream import SimulatedUpstream, simulated_upstream

GATEWAYS = 2
WORKERS = 3
SPEED = 60
TIMEOUT = 60.0  # seconds; only a state that never comes should exceed it
LONGEST_RUN = 5.0
"""Seconds after the first kill: other workers take the jobs over after three seconds, and come to the same step."""
SEEDS = range(int(os.environ.get("NATIVE_FAILOVER_SEEDS", "2")))
STEPS = [
    "native_grouped",
    "native_planned",
    "native_submitting",
    "native_uploading",
    "native_creating",
    "native_create_answered",
    "native_created",
    "native_polled",
    "native_collecting",
    "native_ended",
    "native_discarded",
]
UPLOADED = ["native_uploaded"]
"""A step that Anthropic does not have, which is sent the requests with the create call."""


class NativeFleet:
    """Gateways and workers on one database."""

    def __init__(self, crashes: NativeCrashes, rng: random.Random, cleanup: ExitStack) -> None:
        self._crashes = crashes
        self._random = rng
        self._cleanup = cleanup
        self.gateways: list[GatewayProcess] = []
        self.workers: list[WorkerProcess] = []

    async def start(self, failpoint: str) -> None:
        """Start all processes; the workers are killed at the failpoint."""
        starts: list[Callable[[], GatewayProcess]] = [
            *[lambda: self._crashes.process(GatewayProcess, options=("--no-worker",))] * GATEWAYS,
            *[lambda: self._crashes.process(WorkerProcess, failpoint)] * WORKERS,
        ]
        with ThreadPoolExecutor(len(starts)) as threads:
            started = await asyncio.gather(
                *[asyncio.get_running_loop().run_in_executor(threads, _enter, self._cleanup, start) for start in starts]
            )
        self.workers = [process for process in started if isinstance(process, WorkerProcess)]
        self.gateways = [process for process in started if not isinstance(process, WorkerProcess)]

    @property
    def gateway(self) -> GatewayProcess:
        """Any gateway, as behind a load balancer."""
        return self._random.choice(self.gateways)

    async def wait_for_kill(self, batch_id: str) -> None:
        """Wait until a worker has come to the failpoint; a batch may end before, if another worker took a job over."""
        deadline = asyncio.get_running_loop().time() + TIMEOUT
        while all(worker.running for worker in self.workers) and not await self._has_ended(batch_id):
            assert asyncio.get_running_loop().time() < deadline
            await self._crashes.read_journal()  # a job that has been collected is deleted
            await asyncio.sleep(0.05)

    async def _has_ended(self, batch_id: str) -> bool:
        async with self._crashes.providers.http.get(f"{self.gateway.url}{BATCHES}/{batch_id}") as answer:
            return bool((await answer.json())["processing_status"] == "ended")

    def kill_all(self) -> int:
        """Kill all processes, and return how many workers had come to the failpoint."""
        killed = [worker.running for worker in self.workers].count(False)
        for process in (*self.gateways, *self.workers):
            process.kill()
        return killed


def _enter(cleanup: ExitStack, start: Callable[[], GatewayProcess]) -> GatewayProcess:
    return cleanup.enter_context(start())


@pytest.fixture(scope="module")
def upstream() -> Any:
    options = ("--latency", "0", "--output-tokens", str(TOKENS), "--batches", "--speed", str(SPEED))
    with simulated_upstream(*options) as simulated:
        yield simulated


@asynccontextmanager
async def fleet(
    upstream: SimulatedUpstream, provider: str, folder: Path, rng: random.Random
) -> AsyncIterator[tuple[NativeCrashes, NativeFleet]]:
    with fresh_database() as url, ExitStack() as cleanup:
        async with native_crashes(upstream, provider, folder, url) as crashes:
            yield crashes, NativeFleet(crashes, rng, cleanup)


async def let_run(crashes: NativeCrashes, seconds: float) -> None:
    """Let the processes run, and note the jobs of the provider."""
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        await crashes.read_journal()
        await asyncio.sleep(0.1)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("seed", SEEDS)
async def test_a_batch_ends_with_each_request_once_whichever_processes_are_killed(
    upstream: SimulatedUpstream, tmp_path: Path, seed: int
) -> None:
    rng, provider = random.Random(seed), ("openai", "anthropic")[seed % 2]
    step = rng.choice(STEPS + (UPLOADED if provider == "openai" else []))
    seconds = rng.uniform(0.0, LONGEST_RUN)
    story = f"seed {seed}: all workers are killed at {step}, and {seconds:.1f} s after the first one all processes"
    try:
        async with fleet(upstream, provider, tmp_path, rng) as (crashes, processes):
            await processes.start(step)
            batch_id = await crashes.submit(processes.gateway.url)
            assert batch_id is not None
            await processes.wait_for_kill(batch_id)
            await let_run(crashes, seconds)
            print(f"{story}; {processes.kill_all()} workers had come to the step")
            await crashes.check_that_all_succeed()
    except BaseException as error:
        error.add_note(story)
        raise


@pytest.mark.timeout(180)
async def test_a_canceled_batch_keeps_what_was_answered_although_the_workers_are_killed(
    upstream: SimulatedUpstream, tmp_path: Path
) -> None:
    async with fleet(upstream, "anthropic", tmp_path, random.Random(1)) as (crashes, processes):
        await crashes.providers.configure(running=100_000)
        await processes.start("native_canceling")
        batch_id = await crashes.submit(processes.gateway.url)
        assert batch_id is not None
        await until_all_run(crashes, processes, batch_id)
        await crashes.providers.advance(50_000)
        async with crashes.providers.http.post(f"{processes.gateway.url}{BATCHES}/{batch_id}/cancel") as answer:
            assert answer.status == 200
        await processes.wait_for_kill(batch_id)
        await let_run(crashes, LONGEST_RUN)
        print(f"{processes.kill_all()} workers had come to the step")
        await crashes.check_that_answers_are_kept(batch_id)


@pytest.mark.timeout(180)
async def test_processes_that_are_killed_while_they_rescue_a_batch_pay_for_no_request_twice(
    upstream: SimulatedUpstream, tmp_path: Path
) -> None:
    async with fleet(upstream, "openai", tmp_path, random.Random(1)) as (crashes, processes):
        crashes.lane = "auto"
        await crashes.providers.configure(running=100_000)
        await processes.start("native_created")
        batch_id = await crashes.submit(processes.gateway.url)
        assert batch_id is not None
        await processes.wait_for_kill(batch_id)
        processes.kill_all()
        await crashes.providers.advance(50_000)
        for step in ("native_canceling", "native_polled"):
            with crashes.later_gateway(step) as killed, crashes.later_gateway(step) as other:
                assert {killed.wait(), other.wait()} == {-signal.SIGKILL}
            await crashes.read_journal()
        await crashes.providers.advance(60)
        await crashes.check_that_the_rest_ran_directly(step=0.1)  # until the killed processes count as dead


async def until_all_run(crashes: NativeCrashes, processes: NativeFleet, batch_id: str) -> None:
    """Wait until all jobs of a batch are known to run."""
    url = f"{processes.gateway.url}/api/batches/{batch_id}/progress"
    async with asyncio.timeout(TIMEOUT):
        while True:
            async with crashes.providers.http.get(url) as answer:
                jobs = (await answer.json())["jobs"]
            if jobs and all(job["state"] == "running" for job in jobs):
                return
            await asyncio.sleep(0.05)
