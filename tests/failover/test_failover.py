"""Two gateways and three workers on one database lose nothing when they are killed during 20,000 requests.

Each run kills a gateway, a worker and the database. After every run the batch has ended, the results contain each
custom_id exactly once and in order, and the counts are exact. Only requests that a killed worker had in flight or had
not flushed are sent again. A failure names its seed. ``FAILOVER_SEEDS=50`` runs more seeds.
"""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from tests.support.fleet import Fleet
from tests.support.gateway_process import WorkerProcess
from tests.support.simulated_upstream import SimulatedUpstream, simulated_upstream

REQUESTS = 20_000
SMALL_BATCH = 4_000
WORKERS = 3
CONCURRENCY = 64 * WORKERS
"""The concurrency of the account, which all workers share."""
FLUSHED_TOGETHER = 256
SHARDS_HELD = 8
"""More shards than a worker of this concurrency runs at a time."""
LOST_WITH_A_WORKER = CONCURRENCY + SHARDS_HELD * FLUSHED_TOGETHER
ENDS_WITHIN = 120.0  # seconds
HEARTBEAT_TIMEOUT = 5.0
QUIET = 1.0
"""Seconds within which a pause reaches every process."""
SEEDS = range(int(os.environ.get("FAILOVER_SEEDS", "2")))


@pytest.fixture(scope="module")
def provider() -> Iterator[SimulatedUpstream]:
    with simulated_upstream("--latency", "0.2", "--jitter", "0.5") as simulated:
        yield simulated


@pytest.fixture
def upstream(provider: SimulatedUpstream) -> SimulatedUpstream:
    provider.reset()
    return provider


def settings(upstream: SimulatedUpstream) -> str:
    return f"""
    worker_heartbeat_timeout = {HEARTBEAT_TIMEOUT}
    [accounts.anthropic]
    provider = "anthropic"
    base_url = "{upstream.url}"
    api_key = "sk-upstream"
    concurrency = {CONCURRENCY}
    """


def requests(number: int) -> list[dict[str, object]]:
    message = {"max_tokens": 100, "model": "m"}
    return [
        {"custom_id": f"r{index}", "params": {**message, "messages": [{"role": "user", "content": str(index)}]}}
        for index in range(number)
    ]


def check_results(fleet: Fleet, batch_id: str, number: int) -> None:
    batch = fleet.ended(batch_id, ENDS_WITHIN)
    counts = msgspec.structs.asdict(batch.request_counts)
    assert counts == {"processing": 0, "succeeded": number, "errored": 0, "canceled": 0, "expired": 0}
    lines = [msgspec.json.decode(line) for line in fleet.results(batch_id)]
    assert [line["custom_id"] for line in lines] == [f"r{index}" for index in range(number)]
    for index, line in enumerate(lines):
        assert line["result"]["message"]["content"][0]["text"] == f"You said: {index}"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_batch_ends_with_each_request_once_whichever_processes_are_killed(
    upstream: SimulatedUpstream, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    with Fleet(tmp_path, settings(upstream), rng) as fleet:
        kills: list[Callable[[], None]] = [fleet.kill_worker, fleet.kill_gateway, fleet.kill_database]
        rng.shuffle(kills)
        kills += rng.choices(kills, k=2)
        moments = sorted(rng.uniform(0.02, 0.8) for _ in kills)
        schedule = ", ".join(f"{kill.__name__} at {moment:.0%}" for kill, moment in zip(kills, moments, strict=True))
        print(f"seed {seed}: {schedule}")
        try:
            batch = fleet.create(requests(REQUESTS), f"key-{seed}")
            for kill, moment in zip(kills, moments, strict=True):
                wait_for_successes(fleet, batch.id, moment * REQUESTS)
                kill()
            check_results(fleet, batch.id, REQUESTS)
            check_resent_requests(fleet, upstream, batch.id, kills.count(fleet.kill_worker))
        except BaseException as error:
            error.add_note(f"seed {seed}: {schedule}")
            raise


def wait_for_successes(fleet: Fleet, batch_id: str, number: float) -> None:
    """Wait until this many requests have succeeded."""
    deadline = time.monotonic() + ENDS_WITHIN
    while fleet.progress(batch_id).succeeded < number:
        assert time.monotonic() < deadline, fleet.progress(batch_id)
        time.sleep(0.05)


def wait_for_log(worker: WorkerProcess, text: str) -> None:
    deadline = time.monotonic() + ENDS_WITHIN
    while text not in worker.log:
        assert time.monotonic() < deadline, worker.log
        time.sleep(0.05)


def check_resent_requests(fleet: Fleet, upstream: SimulatedUpstream, batch_id: str, killed_workers: int) -> None:
    stats = upstream.stats()
    assert stats.distinct_bodies == REQUESTS
    resent = stats.calls - REQUESTS
    redelivered = fleet.progress(batch_id).repeated
    print(f"sent again: {resent}, of which the batch counts {redelivered}; workers killed: {killed_workers}")
    assert resent <= killed_workers * LOST_WITH_A_WORKER


@pytest.mark.timeout(300)
def test_a_batch_that_is_paused_and_resumed_while_processes_are_killed_ends_with_each_request_once(
    upstream: SimulatedUpstream, tmp_path: Path
) -> None:
    with Fleet(tmp_path, settings(upstream), random.Random(11)) as fleet:
        batch = fleet.create(requests(SMALL_BATCH), "steered")
        kills = (fleet.kill_worker, fleet.kill_database, fleet.kill_gateway)
        for turn, kill in enumerate(kills, start=1):
            wait_for_successes(fleet, batch.id, SMALL_BATCH * turn / 5)
            fleet.control("pause", batch.id)
            kill()
            wait_until_quiet(upstream)
            calls = upstream.stats().calls
            time.sleep(QUIET)
            assert upstream.stats().calls == calls
            paused = fleet.progress(batch.id).paused
            assert paused is not None
            assert paused.code == "requested"
            fleet.control("resume", batch.id)
        check_results(fleet, batch.id, SMALL_BATCH)
        assert upstream.stats().distinct_bodies == SMALL_BATCH
        assert upstream.stats().calls - SMALL_BATCH <= LOST_WITH_A_WORKER


def wait_until_quiet(upstream: SimulatedUpstream) -> None:
    """Wait until no call has come for a second: a pause has reached every process by then."""
    deadline, calls = time.monotonic() + ENDS_WITHIN, -1
    while calls != (calls := upstream.stats().calls):
        assert time.monotonic() < deadline
        time.sleep(QUIET)


@pytest.mark.timeout(300)
def test_a_gateway_killed_during_a_create_leaves_one_batch_or_none(upstream: SimulatedUpstream, tmp_path: Path) -> None:
    rng = random.Random(7)
    with Fleet(tmp_path, settings(upstream), rng, workers=1) as fleet:
        killer = threading.Timer(rng.uniform(0.05, 0.4), fleet.kill_gateway)
        killer.start()
        try:
            batch = fleet.create(requests(SMALL_BATCH), "once")
        finally:
            killer.join()
        assert fleet.create(requests(SMALL_BATCH), "once").id == batch.id
        check_results(fleet, batch.id, SMALL_BATCH)
        assert upstream.stats().distinct_bodies == SMALL_BATCH
        assert upstream.stats().calls == SMALL_BATCH


@pytest.mark.timeout(300)
def test_a_worker_paused_until_other_workers_claim_its_shards_changes_nothing_when_it_resumes(
    upstream: SimulatedUpstream, tmp_path: Path
) -> None:
    with Fleet(tmp_path, settings(upstream), random.Random(3)) as fleet:
        batch = fleet.create(requests(SMALL_BATCH), "paused")
        wait_for_successes(fleet, batch.id, SMALL_BATCH / 10)
        paused = fleet.workers[0]
        paused.signal(signal.SIGSTOP)
        check_results(fleet, batch.id, SMALL_BATCH)
        before = fleet.results(batch.id)
        paused.signal(signal.SIGCONT)
        wait_for_log(paused, "was considered dead")
        wait_for_log(paused, "another worker has claimed")
        assert paused.running
        second_batch = fleet.create(requests(500), "after")
        fleet.ended(second_batch.id, ENDS_WITHIN)
        assert fleet.results(batch.id) == before
        check_results(fleet, batch.id, SMALL_BATCH)
