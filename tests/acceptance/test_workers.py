"""A gateway and workers as processes on one PostgreSQL server: workers are killed and paused, the server restarts."""

from __future__ import annotations

import signal
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from anthropic import Anthropic
from anthropic.types.messages import MessageBatch

from batchgate_api.gateway import BatchProgress
from tests.support.gateway_process import GatewayProcess, WorkerProcess
from tests.support.postgres_server import PostgresServer, dedicated_server
from tests.support.running_app import create_body
from tests.support.scrape import Scrape
from tests.support.simulated_upstream import SimulatedUpstream, simulated_upstream

CONCURRENCY = 8
TIMEOUT = 3.0
"""Seconds without a heartbeat after which other workers claim the shards of a worker."""
PATIENCE = 60.0  # seconds
POLL = 0.02  # seconds between two polls
QUICK = 0.05  # seconds that a call takes where a test needs many calls and no long shard


@dataclass
class Installation:
    """A database, an upstream, a gateway without a worker, and the workers that a test starts."""

    folder: Path
    database: PostgresServer
    upstream: SimulatedUpstream
    stack: ExitStack
    gateway: GatewayProcess

    @property
    def client(self) -> Anthropic:
        """An SDK client of the gateway."""
        return Anthropic(base_url=f"{self.gateway.url}/anthropic", api_key="any", max_retries=5)

    def start_worker(self, port: int | None = None) -> WorkerProcess:
        """Start a worker."""
        settings = settings_of(self.database, self.upstream)
        return self.stack.enter_context(WorkerProcess(data_dir=self.folder, settings=settings, port=port))

    def create(self, requests: int) -> MessageBatch:
        """Create a batch."""
        with self.client as client:
            return client.messages.batches.create(**create_body(*(f"r{number}" for number in range(requests))))

    def progress(self, batch: MessageBatch) -> BatchProgress:
        """Read the progress of a batch."""
        url = f"{self.gateway.url}/api/batches/{batch.id}/progress"
        with urllib.request.urlopen(url) as response:
            return msgspec.json.decode(response.read(), type=BatchProgress)

    def wait_for(self, condition: Callable[[], bool], within: float = PATIENCE) -> float:
        """Poll a condition until it is true and return the seconds that this took."""
        begun = time.monotonic()
        while not condition():
            assert time.monotonic() - begun < within
            time.sleep(POLL)
        return time.monotonic() - begun

    def wait_until_ended(self, batch: MessageBatch, within: float = PATIENCE) -> BatchProgress:
        """Poll a batch until it has ended, check that each request has one result, in order; return the progress."""
        self.wait_for(lambda: self.progress(batch).status == "ended", within)
        progress = self.progress(batch)
        with self.client as client:
            results = [result.custom_id for result in client.messages.batches.results(batch.id)]
        assert results == [f"r{number}" for number in range(progress.total)]
        return progress


def settings_of(database: PostgresServer, upstream: SimulatedUpstream) -> str:
    return f"""
database_url = "{database.url()}"
worker_heartbeat_timeout = {TIMEOUT}

[accounts.anthropic]
provider = "anthropic"
base_url = "{upstream.url}"
api_key = "k"
concurrency = {CONCURRENCY}
"""


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    with ExitStack() as stack:
        database = stack.enter_context(dedicated_server())
        upstream = stack.enter_context(simulated_upstream("--latency", "0.1"))
        settings, options = settings_of(database, upstream), ("--no-worker",)
        gateway = stack.enter_context(GatewayProcess(data_dir=tmp_path, settings=settings, options=options))
        yield Installation(tmp_path, database, upstream, stack, gateway)


def finished_by(worker: WorkerProcess) -> float:
    """Read how many requests a worker has finished."""
    with urllib.request.urlopen(f"{worker.url}/metrics") as response:
        return Scrape(response.read().decode()).value("batchgate_requests_finished_total", outcome="succeeded")


def test_workers_share_a_batch_and_export_how_many_requests_each_finished(installation: Installation) -> None:
    installation.upstream.configure(latency=QUICK)
    workers = [installation.start_worker(port=0) for _ in range(2)]
    batch = installation.create(1_500)
    installation.wait_until_ended(batch)
    shares = [finished_by(worker) for worker in workers]
    assert sum(shares) == 1_500
    assert min(shares) > 300, shares
    assert installation.upstream.stats().max_in_flight <= CONCURRENCY


def test_another_worker_runs_the_shards_of_a_killed_worker_within_the_heartbeat_timeout(
    installation: Installation,
) -> None:
    first = installation.start_worker()
    batch = installation.create(400)  # one shard
    installation.wait_for(lambda: installation.progress(batch).succeeded > 10)
    second = installation.start_worker()
    first.kill()
    done = installation.progress(batch).succeeded
    assert done < 400
    took = installation.wait_for(lambda: installation.progress(batch).succeeded > done)
    # The first result of the second worker takes one more call and one more flush.
    assert took < TIMEOUT + 1.0
    progress = installation.wait_until_ended(batch)
    assert progress.succeeded == 400
    assert progress.repeated <= 2 * CONCURRENCY
    assert second.running


def test_a_worker_paused_beyond_the_heartbeat_timeout_changes_nothing_and_works_again(
    installation: Installation,
) -> None:
    paused = installation.start_worker()
    batch = installation.create(400)
    installation.wait_for(lambda: installation.progress(batch).succeeded > 10)
    paused.signal(signal.SIGSTOP)
    other = installation.start_worker()
    done = installation.progress(batch).succeeded
    installation.wait_for(lambda: installation.progress(batch).succeeded > done)
    paused.signal(signal.SIGCONT)  # in the middle of the shard: the store refuses what the worker flushes now
    progress = installation.wait_until_ended(batch)
    assert (progress.succeeded, progress.errored) == (400, 0)
    installation.wait_for(lambda: "was considered dead" in paused.log)
    other.terminate()
    installation.upstream.configure(latency=QUICK)
    second_batch = installation.create(400)
    assert installation.wait_until_ended(second_batch).succeeded == 400


def test_a_cancel_stops_a_shard_in_another_process_within_a_second(installation: Installation) -> None:
    installation.start_worker()
    batch = installation.create(2_000)
    installation.wait_for(lambda: installation.progress(batch).succeeded > 10)
    with installation.client as client:
        client.messages.batches.cancel(batch.id)
    took = installation.wait_for(lambda: installation.progress(batch).status == "ended")
    assert took < 1.0
    progress = installation.wait_until_ended(batch)
    assert progress.canceled == 2_000 - progress.succeeded
    assert installation.upstream.stats().calls <= progress.succeeded


def test_workers_survive_a_kill_and_restart_of_the_database(installation: Installation) -> None:
    installation.upstream.configure(latency=QUICK)
    workers = [installation.start_worker() for _ in range(2)]
    batch = installation.create(1_500)
    installation.wait_for(lambda: installation.progress(batch).succeeded > 10)
    installation.database.kill()
    time.sleep(TIMEOUT)  # the outage lasts this long; there is no state to wait for
    installation.database.start()
    progress = installation.wait_until_ended(batch)
    assert (progress.succeeded, progress.errored) == (1_500, 0)
    assert all(worker.running for worker in workers)
