"""Gateways and workers as processes on one PostgreSQL server; workers are killed and paused, and it is restarted."""

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
"""Seconds within which the shards of a worker that died are somebody else's."""
PATIENCE = 60.0  # seconds
LOOK = 0.02  # seconds between two looks


@dataclass
class Installation:
    """A database, an upstream, a gateway without a worker, and as many workers as a test starts."""

    folder: Path
    database: PostgresServer
    upstream: SimulatedUpstream
    stack: ExitStack
    gateway: GatewayProcess

    @property
    def client(self) -> Anthropic:
        """Call the gateway as an SDK does."""
        return Anthropic(base_url=f"{self.gateway.url}/anthropic", api_key="any", max_retries=5)

    def worker(self, port: int | None = None) -> WorkerProcess:
        """Start a worker."""
        settings = settings_of(self.database, self.upstream)
        return self.stack.enter_context(WorkerProcess(data_dir=self.folder, settings=settings, port=port))

    def create(self, requests: int) -> MessageBatch:
        """Create a batch."""
        with self.client as client:
            return client.messages.batches.create(**create_body(*(f"r{number}" for number in range(requests))))

    def progress(self, batch: MessageBatch) -> BatchProgress:
        """Read how far a batch is."""
        url = f"{self.gateway.url}/api/batches/{batch.id}/progress"
        with urllib.request.urlopen(url) as response:
            return msgspec.json.decode(response.read(), type=BatchProgress)

    def wait(self, condition: Callable[[], bool], within: float = PATIENCE) -> float:
        """Wait until something is so, and tell after how many seconds."""
        begun = time.monotonic()
        while not condition():
            assert time.monotonic() - begun < within
            time.sleep(LOOK)
        return time.monotonic() - begun

    def ended(self, batch: MessageBatch, within: float = PATIENCE) -> BatchProgress:
        """Follow a batch to its end; each of its requests has one result then, in their order."""
        self.wait(lambda: self.progress(batch).status == "ended", within)
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


def test_workers_share_a_batch_and_tell_how_they_are(installation: Installation) -> None:
    workers = [installation.worker(port=0) for _ in range(2)]
    batch = installation.create(1_500)
    installation.ended(batch)
    shares = [finished_by(worker) for worker in workers]
    assert sum(shares) == 1_500
    assert min(shares) > 300, shares
    assert installation.upstream.stats().max_in_flight <= CONCURRENCY


def test_the_shards_of_a_worker_that_is_killed_are_run_by_another_within_the_timeout(
    installation: Installation,
) -> None:
    first = installation.worker()
    batch = installation.create(400)  # one shard
    installation.wait(lambda: installation.progress(batch).succeeded > 10)
    second = installation.worker()
    first.kill()
    done = installation.progress(batch).succeeded
    assert done < 400
    took = installation.wait(lambda: installation.progress(batch).succeeded > done)
    # The first result of the other one takes a call and a flush on top.
    assert took < TIMEOUT + 1.0
    progress = installation.ended(batch)
    assert progress.succeeded == 400
    assert progress.repeated <= 2 * CONCURRENCY
    assert second.running


def test_a_worker_that_was_paused_for_long_does_no_harm_and_works_again(installation: Installation) -> None:
    paused = installation.worker()
    batch = installation.create(400)
    installation.wait(lambda: installation.progress(batch).succeeded > 10)
    paused.signal(signal.SIGSTOP)
    other = installation.worker()
    done = installation.progress(batch).succeeded
    installation.wait(lambda: installation.progress(batch).succeeded > done)
    paused.signal(signal.SIGCONT)  # in the middle of the shard: what it flushes now is refused
    progress = installation.ended(batch)
    assert (progress.succeeded, progress.errored) == (400, 0)
    installation.wait(lambda: "taken for dead" in paused.log)
    other.terminate()
    again = installation.create(400)
    assert installation.ended(again).succeeded == 400


def test_a_cancel_reaches_a_shard_on_another_process_within_a_second(installation: Installation) -> None:
    installation.worker()
    batch = installation.create(2_000)
    installation.wait(lambda: installation.progress(batch).succeeded > 10)
    with installation.client as client:
        client.messages.batches.cancel(batch.id)
    took = installation.wait(lambda: installation.progress(batch).status == "ended")
    assert took < 1.0
    progress = installation.ended(batch)
    assert progress.canceled == 2_000 - progress.succeeded
    assert installation.upstream.stats().calls <= progress.succeeded


def test_a_database_that_is_killed_and_comes_back_ends_no_worker(installation: Installation) -> None:
    workers = [installation.worker() for _ in range(2)]
    batch = installation.create(1_500)
    installation.wait(lambda: installation.progress(batch).succeeded > 10)
    installation.database.kill()
    time.sleep(TIMEOUT)  # an outage, not a state that is waited for
    installation.database.start()
    progress = installation.ended(batch)
    assert (progress.succeeded, progress.errored) == (1_500, 0)
    assert all(worker.running for worker in workers)
