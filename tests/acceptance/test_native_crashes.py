"""A gateway that is killed while a batch travels in a provider's job finishes the batch after a restart.

Each kill ends a real process. The gateway of the last start runs in the process of the test, with a clock that the
test moves: it looks for a job in doubt for minutes. The results contain each custom_id once and in order, the counts
are exact, the provider charges for no request twice, and the gateway knows every job that ran a request. A failure at
random moments names its seed. ``CRASH_SEEDS=200`` runs more seeds.
"""

import os
import random
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Timer
from typing import Any, Literal

import aiohttp
import pytest

from batchgate.engine.model.clock import MICROSECONDS
from batchgate.providers.simulator.batches.control import JournalJob
from batchgate.settings import AccountSettings
from tests.integration.native.native_gateway import NativeGateway
from tests.support.gateway_process import GatewayProcess
from tests.support.running_app import BATCHES, MovableClock, running_app
from tests.support.simulated_batches import SimulatedProviders
from tests.support.simulated_upstream import SimulatedUpstream, simulated_upstream
from tests.support.storage_leaks import find_storage_leaks

REQUESTS = 600
"""Two shards; the results of all do not fit into the collector's buffer."""
IDS = [f"r{number}" for number in range(REQUESTS)]
DIRECT = [custom_id for custom_id in IDS if custom_id.endswith("77")]
"""Requests for a model that has too few of them for a job; only an account with the lane "auto" runs them directly."""
TOKENS = 2000
SPEED = 60
"""How many times as fast as real time the provider is: a job takes less than a second."""
LONGEST_RUN = 1.2  # seconds after the start of a gateway; it has collected a job that has ended by then
SEEDS = range(int(os.environ.get("CRASH_SEEDS", "5")))
PATHS = {"openai": "/openai/v1", "anthropic": "/anthropic"}

EACH_PROVIDER: list[tuple[str, ...]] = [
    ("native_planned",),
    ("native_submitting",),
    ("native_creating",),
    ("native_create_answered",),
    ("native_created", "native_collecting", "native_ended"),
]
"""The steps at which the gateway is killed, one after the other."""
ONLY_OPENAI: list[tuple[str, ...]] = [
    ("rows_written",),
    ("native_grouped",),
    ("shard_claimed", "request_in_flight", "chunk_half_flushed"),
    ("native_uploaded",),
    ("native_uploaded", "native_creating"),
    ("native_polled",),
    ("native_created", "finalizing_started"),
]
CASES: list[Any] = [
    *(pytest.param("openai", steps, id=f"openai-{'-'.join(steps)}") for steps in EACH_PROVIDER + ONLY_OPENAI),
    *(pytest.param("anthropic", steps, id=f"anthropic-{'-'.join(steps)}") for steps in EACH_PROVIDER),
]


@dataclass
class Crashes:
    """A provider, and a gateway that is started again and again with the same data."""

    upstream: SimulatedUpstream
    providers: SimulatedProviders
    provider: Literal["openai", "anthropic"]
    data_dir: Path
    jobs: dict[str, JournalJob]
    """All jobs of the provider; the gateway deletes some at the end."""
    earlier: frozenset[str]
    """The jobs of other tests."""
    deleted: frozenset[str] = frozenset()
    """The jobs that the gateway has deleted, since it has their results."""

    @property
    def account(self) -> dict[str, str]:
        """The settings of the account; each test has a key of its own, since Anthropic's jobs have no label."""
        lane = {"openai": "auto", "anthropic": "native"}[self.provider]
        key = f"provider-key-{self.data_dir.name}"
        return {"base_url": self.upstream.url + PATHS[self.provider], "api_key": key, "lane": lane}

    def gateway(self, failpoint: str = "", hit: int = 1) -> GatewayProcess:
        """Return a process that is killed at a hit of a failpoint."""
        account = "\n".join(f'{name} = "{value}"' for name, value in self.account.items())
        settings = f'[accounts.upstream]\nprovider = "{self.provider}"\n{account}\n'
        environment = {"BATCHGATE_FAILPOINTS": f"{failpoint}=kill:{hit}" if failpoint else ""}
        return GatewayProcess(data_dir=self.data_dir, settings=settings, environment=environment)

    async def submit(self, url: str) -> str | None:
        """Submit the batch with an idempotency key; return None if a kill prevented the acknowledgement."""
        requests = [{"custom_id": custom_id, "params": params_of(custom_id)} for custom_id in IDS]
        headers = {"Idempotency-Key": "the only batch"}
        try:
            async with self.providers.http.post(url + BATCHES, json={"requests": requests}, headers=headers) as answer:
                batch = await answer.json()
                assert answer.status == 200, batch
                return str(batch["id"])
        except aiohttp.ClientError:
            return None

    async def read_journal(self) -> None:
        """Read the jobs that the provider has by now."""
        present = {job.id: job for job in await self.providers.jobs() if job.id not in self.earlier}
        self.jobs |= present
        self.deleted = frozenset(self.jobs.keys() - present.keys())

    def paid_rows(self, job: JournalJob) -> int:
        """Count the rows that a job was paid for; one that was last seen as it ran has answered all since."""
        return len(job.rows) if job.id in self.deleted and job.state == "in_progress" else job.paid

    @asynccontextmanager
    async def last_gateway(self) -> AsyncIterator[NativeGateway]:
        """Run the gateway in this process, with a clock that the test moves."""
        accounts = {"upstream": AccountSettings(provider=self.provider, **self.account)}  # type: ignore[arg-type]
        clock = MovableClock(round(time.time() * MICROSECONDS))
        async with running_app(self.data_dir, clock=clock, accounts=accounts) as app:
            yield NativeGateway(app, self.providers)

    async def finish(self, gateway: NativeGateway, batch_id: str) -> dict[str, Any]:
        """Let time pass until the batch has ended, and return it."""
        while True:
            await self.read_journal()
            status, batch = await gateway.app.call("GET", f"{BATCHES}/{batch_id}")
            assert status == 200, batch
            if batch["processing_status"] == "ended":
                assert isinstance(batch, dict)
                return batch
            await gateway.pass_time()

    async def check_jobs(self, gateway: NativeGateway, batch_id: str, paid: int) -> None:
        """Check that the gateway knows every job that ran a request, and that no request was paid for twice."""
        known = {job["upstream_id"] for job in (await gateway.progress(batch_id))["jobs"]}
        await self.read_journal()
        paid_rows = {job.id: self.paid_rows(job) for job in self.jobs.values()}
        assert {job_id for job_id, rows in paid_rows.items() if rows} <= known
        assert sum(paid_rows.values()) == paid
        while leaks := find_storage_leaks(self.data_dir):
            assert not [leak for leak in leaks if leak.startswith("missing")], leaks
            await gateway.pass_time()


def params_of(custom_id: str) -> dict[str, Any]:
    model = "seldom" if custom_id in DIRECT else "m"
    return {"model": model, "max_tokens": TOKENS, "messages": [{"role": "user", "content": custom_id}]}


@pytest.fixture(scope="module")
def upstream() -> Any:
    with simulated_upstream(
        "--latency", "0", "--output-tokens", str(TOKENS), "--batches", "--speed", str(SPEED)
    ) as simulated:
        yield simulated


@asynccontextmanager
async def crashes(upstream: SimulatedUpstream, provider: str, data_dir: Path) -> AsyncIterator[Crashes]:
    async with aiohttp.ClientSession() as http:
        providers = SimulatedProviders(upstream.url, http)
        await providers.configure()
        upstream.reset()
        earlier = frozenset(job.id for job in await providers.jobs())
        yield Crashes(upstream, providers, provider, data_dir, {}, earlier)  # type: ignore[arg-type]


async def check_that_all_succeed(crashes: Crashes) -> None:
    """Start the gateway a last time, and check that each request succeeds and was answered by a job once."""
    async with crashes.last_gateway() as gateway:
        batch_id = await crashes.submit(gateway.app.url)
        assert batch_id is not None
        batch = await crashes.finish(gateway, batch_id)
        counts = {"processing": 0, "succeeded": REQUESTS, "errored": 0, "canceled": 0, "expired": 0}
        assert batch["request_counts"] == counts
        results = await gateway.app.results(batch_id)
        assert [result["custom_id"] for result in results] == IDS
        for result in results:
            said = result["result"]["message"]["content"][0]["text"]
            assert said.startswith(f"You said: {result['custom_id']} and so on")
        direct = DIRECT if crashes.provider == "openai" else []
        await crashes.check_jobs(gateway, batch_id, paid=REQUESTS - len(direct))
        assert crashes.upstream.stats().distinct_bodies == len(direct), "requests of a job ran directly too"
        _, listed = await gateway.app.call("GET", BATCHES)
        assert [batch["id"] for batch in listed["data"]] == [batch_id]


@pytest.mark.parametrize(("provider", "steps"), CASES)
async def test_a_gateway_killed_at_steps_of_a_job_finishes_the_batch_after_a_restart(
    upstream: SimulatedUpstream, tmp_path: Path, provider: str, steps: tuple[str, ...]
) -> None:
    async with crashes(upstream, provider, tmp_path) as suite:
        for number, step in enumerate(steps):
            with suite.gateway(step) as gateway:
                if number == 0:
                    await suite.submit(gateway.url)
                assert gateway.wait() == -signal.SIGKILL
            await suite.providers.advance(60)
            await suite.read_journal()
        await check_that_all_succeed(suite)


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_a_gateway_killed_while_it_cancels_a_job_keeps_what_was_answered(
    upstream: SimulatedUpstream, tmp_path: Path, provider: str
) -> None:
    async with crashes(upstream, provider, tmp_path) as suite:
        await suite.providers.configure(running=100_000)
        # All jobs exist for certain: one that was found by its time and size alone would not be canceled.
        with suite.gateway("native_created", hit=1 if provider == "openai" else 2) as gateway:
            batch_id = await suite.submit(gateway.url)
            assert batch_id is not None
            assert gateway.wait() == -signal.SIGKILL
        await suite.providers.advance(50_000)
        with suite.gateway("native_canceling") as gateway:
            async with suite.providers.http.post(f"{gateway.url}{BATCHES}/{batch_id}/cancel") as answer:
                assert answer.status == 200
            assert gateway.wait() == -signal.SIGKILL
        async with suite.last_gateway() as last:
            batch = await suite.finish(last, batch_id)
            results = await last.app.results(batch_id)
            assert [result["custom_id"] for result in results] == IDS
            counts = batch["request_counts"]
            assert counts["succeeded"] + counts["canceled"] == REQUESTS
            answered = [line["custom_id"] for line in results if line["result"]["type"] == "succeeded"]
            assert len(answered) == counts["succeeded"]
            paid = [name for name in answered if provider == "anthropic" or name not in DIRECT]
            assert 0 < len(paid) < REQUESTS - len(DIRECT)
            await suite.check_jobs(last, batch_id, paid=len(paid))


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_gateway_killed_at_random_moments_finishes_the_batch(
    upstream: SimulatedUpstream, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    provider = ("openai", "anthropic")[seed % 2]
    moments = [rng.uniform(0.0, LONGEST_RUN) for _ in range(rng.choice((2, 3)))]
    try:
        async with crashes(upstream, provider, tmp_path) as suite:
            acknowledged = None
            for seconds in moments:
                with suite.gateway() as gateway:
                    kill = Timer(seconds, gateway.kill)
                    kill.start()
                    try:
                        acknowledged = acknowledged or await suite.submit(gateway.url)
                    finally:
                        kill.join()
                await suite.read_journal()
            await check_that_all_succeed(suite)
    except BaseException as error:
        error.add_note(f"seed {seed}: killed after {', '.join(f'{seconds:.3f}' for seconds in moments)} seconds")
        raise
