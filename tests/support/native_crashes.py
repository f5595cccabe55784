"""A gateway that is killed again and again while a batch travels in jobs of a simulated provider."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import aiohttp
import msgspec

from batchgate.account_settings import AccountSettings
from batchgate.engine.model.clock import MICROSECONDS
from batchgate.providers.simulator.batches.control import JournalJob
from tests.integration.native.lane_client import BASES
from tests.integration.native.native_gateway import NativeGateway, cloud_account
from tests.support.gateway_process import GatewayProcess
from tests.support.later_gateway import LATER, LaterGateway
from tests.support.running_app import BATCHES, MovableClock, running_app
from tests.support.simulated_batches import SimulatedProviders
from tests.support.simulated_upstream import SimulatedUpstream
from tests.support.storage_leaks import find_storage_leaks

REQUESTS = 600
"""Two shards; the results of all do not fit into the collector's buffer."""
IDS = [f"r{number}" for number in range(REQUESTS)]
DIRECT = [custom_id for custom_id in IDS if custom_id.endswith("77")]
"""Requests for a model that has too few of them for a job; only an account with the lane "auto" runs them directly."""
TOKENS = 2000
STORED_AT: Final = {
    "openai": ("/files", "data"),
    "anthropic": ("/v1/messages/batches", "data"),
    "mistral": ("/files", "data"),
    "openrouter": ("/batches", "data"),
    "gemini": ("/v1beta/files", "files"),
    "cohere": ("/v1/datasets", "datasets"),
}
"""The lists of what the providers keep of jobs, and their field; xAI and Fireworks have no such list."""
ANTHROPIC_VERSION: Final = {"anthropic-version": "2023-06-01"}
HEARTBEAT_TIMEOUT: Final = 3.0

Process = TypeVar("Process", bound=GatewayProcess)


@dataclass
class NativeCrashes:
    """A provider, and a gateway that is started again and again with the same data."""

    upstream: SimulatedUpstream
    providers: SimulatedProviders
    provider: str
    data_dir: Path
    jobs: dict[str, JournalJob]
    """All jobs of the provider; the gateway deletes some at the end."""
    earlier: frozenset[str]
    """The jobs of other tests."""
    deleted: frozenset[str] = frozenset()
    """The jobs that the gateway has deleted, since it has their results."""
    database_url: str | None = None
    """The PostgreSQL database; None for SQLite."""
    lane: Literal["auto", "native"] | None = None
    """The lane of the account, if it is not the usual one of the provider here."""

    @property
    def account(self) -> dict[str, Any]:
        """The settings of the account; each test has a key of its own, since Anthropic's jobs have no label."""
        lane = self.lane or ("auto" if self.provider == "openai" else "native")
        key = f"provider-key-{self.data_dir.name}"
        own = cloud_account(self.provider, self.providers.url)
        own |= {"job_min_requests": 1} if self.provider == "bedrock" else {}
        return {"base_url": self.upstream.url + BASES[self.provider], "api_key": key, "lane": lane} | own

    @property
    def shared(self) -> dict[str, Any]:
        """The settings of a process that shares its database."""
        if self.database_url is None:
            return {}
        blob_url = (self.data_dir / "blobs").as_uri()
        return {"database_url": self.database_url, "blob_url": blob_url, "worker_heartbeat_timeout": HEARTBEAT_TIMEOUT}

    def process(self, kind: type[Process], failpoint: str = "", hit: int = 1, **arguments: Any) -> Process:
        """Return a process that is killed at a hit of a failpoint."""
        shared = [f"{name} = {msgspec.json.encode(value).decode()}" for name, value in self.shared.items()]
        account = [f"{name} = {toml_value(value)}" for name, value in self.account.items()]
        settings = "\n".join([*shared, "[accounts.upstream]", f'provider = "{self.provider}"', *account])
        environment = {"BATCHGATE_FAILPOINTS": f"{failpoint}=kill:{hit}" if failpoint else ""}
        return kind(data_dir=self.data_dir, settings=settings, environment=environment, **arguments)

    def later_gateway(self, failpoint: str) -> GatewayProcess:
        """Return a gateway that rescues its batches, and is killed at a failpoint."""
        return self.process(LaterGateway, failpoint)

    def gateway(self, failpoint: str = "", hit: int = 1) -> GatewayProcess:
        """Return a gateway with a worker that is killed at a hit of a failpoint."""
        return self.process(GatewayProcess, failpoint, hit)

    async def submit(self, url: str, **options: str) -> str | None:
        """Submit the batch with an idempotency key; return None if a kill prevented the acknowledgement."""
        requests = [{"custom_id": custom_id, "params": params_of(custom_id)} for custom_id in IDS]
        headers = {"Idempotency-Key": "the only batch", **{f"batchgate-{name}": text for name, text in options.items()}}
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
    async def last_gateway(self, later: float = 0.0) -> AsyncIterator[NativeGateway]:
        """Run the gateway in this process, with a clock that the test moves and that is some seconds ahead."""
        accounts = {"upstream": AccountSettings(provider=self.provider, **self.account)}
        clock = MovableClock(round((time.time() + later) * MICROSECONDS))
        async with running_app(self.data_dir, clock=clock, accounts=accounts, **self.shared) as app:
            yield NativeGateway(app, self.providers)

    async def finish(self, gateway: NativeGateway, batch_id: str, step: float = 10.0) -> dict[str, Any]:
        """Let time pass until the batch has ended, and return it."""
        while True:
            await self.read_journal()
            status, batch = await gateway.app.call("GET", f"{BATCHES}/{batch_id}")
            assert status == 200, batch
            if batch["processing_status"] == "ended":
                assert isinstance(batch, dict)
                return batch
            await gateway.pass_time(step)

    async def check_jobs(self, gateway: NativeGateway, batch_id: str, paid: int) -> None:
        """Check that the gateway knows all jobs, that no request was paid for twice, and that nothing is left."""
        known = {job["upstream_id"] for job in (await gateway.progress(batch_id))["jobs"]}
        await self.read_journal()
        assert self.jobs.keys() <= known
        assert sum(self.paid_rows(job) for job in self.jobs.values()) == paid
        while leaks := find_storage_leaks(self.data_dir, self.database_url):
            assert not [leak for leak in leaks if leak.startswith("missing")], leaks
            await gateway.pass_time()
        while await self._is_left_upstream():
            await gateway.pass_time(60)

    async def _is_left_upstream(self) -> bool:
        """Check whether the provider lists something of the gateway: files, or jobs that hold requests and results."""
        path, field = STORED_AT.get(self.provider, (None, ""))
        if path is None:
            return False
        key = self.account["api_key"]
        headers = {"Authorization": f"Bearer {key}", "x-api-key": key, "x-goog-api-key": key, **ANTHROPIC_VERSION}
        async with self.providers.http.get(self.account["base_url"] + path, headers=headers) as response:
            assert response.status == 200, await response.text()
            stored = (await response.json()).get(field) or []
        if self.provider not in {"gemini", "cohere"}:
            return bool(stored)
        # A file whose upload a kill interrupted is input of no job: these two are not asked for it (lanes.md).
        inputs = {job.input_file_id for job in self.jobs.values()}
        if self.provider == "gemini":
            return any(entry["name"] in inputs for entry in stored)
        return any(not is_input(entry) or entry["id"] in inputs for entry in stored)

    async def check_that_all_succeed(self, later: float = 0.0) -> None:
        """Start the gateway a last time, and check that each request succeeds and was answered by a job once."""
        async with self.last_gateway(later) as gateway:
            batch_id = await self.submit(gateway.app.url)
            assert batch_id is not None
            batch = await self.finish(gateway, batch_id)
            counts = {"processing": 0, "succeeded": REQUESTS, "errored": 0, "canceled": 0, "expired": 0}
            assert batch["request_counts"] == counts
            results = await gateway.app.results(batch_id)
            assert [result["custom_id"] for result in results] == IDS
            for result in results:
                said = result["result"]["message"]["content"][-1]["text"]  # after a thought of Gemini
                assert said.startswith(f"You said: {result['custom_id']} and so on")
            direct = DIRECT if self.provider == "openai" else []
            await self.check_jobs(gateway, batch_id, paid=REQUESTS - len(direct))
            assert self.upstream.stats().distinct_bodies == len(direct), "requests of a job ran directly too"
            _, listed = await gateway.app.call("GET", BATCHES)
            assert [batch["id"] for batch in listed["data"]] == [batch_id]

    async def check_that_the_rest_ran_directly(self, step: float = 1.0) -> None:
        """Start the gateway a last time, later, and check that only what the job had not answered ran directly.

        The batch has six minutes left; a ``step`` of its clock must leave time for what real time decides.
        """
        async with self.last_gateway(LATER) as gateway:
            batch_id = await self.submit(gateway.app.url)
            assert batch_id is not None
            batch = await self.finish(gateway, batch_id, step=step)
            assert batch["request_counts"]["succeeded"] == REQUESTS
            assert [result["custom_id"] for result in await gateway.app.results(batch_id)] == IDS
            by_jobs = REQUESTS - self.upstream.stats().distinct_bodies
            assert 0 < by_jobs < REQUESTS - len(DIRECT)
            await self.check_jobs(gateway, batch_id, paid=by_jobs)

    async def check_that_answers_are_kept(self, batch_id: str) -> None:
        """Start the gateway a last time, and check that a canceled batch has each answer that was paid for."""
        async with self.last_gateway() as gateway:
            batch = await self.finish(gateway, batch_id)
            results = await gateway.app.results(batch_id)
            assert [result["custom_id"] for result in results] == IDS
            counts = batch["request_counts"]
            assert counts["succeeded"] + counts["canceled"] == REQUESTS
            failures = (await gateway.progress(batch_id))["failures"]
            assert [(group["kind"], group["count"]) for group in failures] == [("canceled", counts["canceled"])]
            answered = [line["custom_id"] for line in results if line["result"]["type"] == "succeeded"]
            assert len(answered) == counts["succeeded"]
            paid = [name for name in answered if self.provider == "anthropic" or name not in DIRECT]
            assert 0 < len(paid) < REQUESTS - len(DIRECT)
            await self.check_jobs(gateway, batch_id, paid=len(paid))


def is_input(entry: dict[str, Any]) -> bool:
    """Return whether a dataset is the input of a job."""
    return str(entry.get("dataset_type")).endswith("-input")


def toml_value(value: Any) -> str:
    """Write a setting; a text is written as in JSON."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name} = {toml_value(inner)}' for name, inner in value.items())}}}"
    return msgspec.json.encode(value).decode()


def params_of(custom_id: str) -> dict[str, Any]:
    model = "seldom" if custom_id in DIRECT else "m"
    return {"model": model, "max_tokens": TOKENS, "messages": [{"role": "user", "content": custom_id}]}


@asynccontextmanager
async def native_crashes(
    upstream: SimulatedUpstream, provider: str, data_dir: Path, database_url: str | None = None
) -> AsyncIterator[NativeCrashes]:
    """Provide a provider without faults, and no gateway yet."""
    async with aiohttp.ClientSession() as http:
        providers = SimulatedProviders(upstream.url, http)
        await providers.configure(file_pending=0)
        upstream.reset()
        earlier = frozenset(job.id for job in await providers.jobs())
        yield NativeCrashes(upstream, providers, provider, data_dir, {}, earlier, database_url=database_url)
