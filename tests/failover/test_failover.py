"""Two gateways and three workers on one database, killed in the middle of 20,000 requests: nothing is lost.

Whatever dies, and the database itself is among it: the batch ends, each custom_id stands exactly once in the results
and in order, the counts are exact, and the provider is asked again no more than what the dead had under way and had not
flushed. A failure names its seed; ``FAILOVER_SEEDS=50`` runs more of them.
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
FEW = 4_000
WORKERS = 3
CONCURRENCY = 64 * WORKERS
"""Of the account, and so of all workers together."""
FLUSHED_TOGETHER = 256
SHARDS_HELD = 8
"""More than a worker of this concurrency has under way at a time."""
LOST_WITH_A_WORKER = CONCURRENCY + SHARDS_HELD * FLUSHED_TOGETHER
ENDS_WITHIN = 120.0  # seconds
TIMEOUT = 5.0
SEEDS = range(int(os.environ.get("FAILOVER_SEEDS", "3")))


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
    worker_heartbeat_timeout = {TIMEOUT}
    [accounts.anthropic]
    provider = "anthropic"
    base_url = "{upstream.url}"
    api_key = "sk-upstream"
    concurrency = {CONCURRENCY}
    """


def requests(number: int) -> list[dict[str, object]]:
    message = {"max_tokens": 100, "model": "m"}
    return [
        {"custom_id": f"r{place}", "params": {**message, "messages": [{"role": "user", "content": str(place)}]}}
        for place in range(number)
    ]


def check_results(fleet: Fleet, batch_id: str, number: int) -> None:
    batch = fleet.ended(batch_id, ENDS_WITHIN)
    counts = msgspec.structs.asdict(batch.request_counts)
    assert counts == {"processing": 0, "succeeded": number, "errored": 0, "canceled": 0, "expired": 0}
    lines = [msgspec.json.decode(line) for line in fleet.results(batch_id)]
    assert [line["custom_id"] for line in lines] == [f"r{place}" for place in range(number)]
    for place, line in enumerate(lines):
        assert line["result"]["message"]["content"][0]["text"] == f"You said: {place}"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", SEEDS)
def test_whoever_is_killed_the_batch_ends_with_each_request_once(
    upstream: SimulatedUpstream, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    with Fleet(tmp_path, settings(upstream), chance) as fleet:
        deaths: list[Callable[[], None]] = [fleet.kill_worker, fleet.kill_gateway, fleet.kill_database]
        chance.shuffle(deaths)
        deaths += chance.choices(deaths, k=2)
        moments = sorted(chance.uniform(0.02, 0.8) for _ in deaths)
        told = ", ".join(f"{death.__name__} at {moment:.0%}" for death, moment in zip(deaths, moments, strict=True))
        print(f"seed {seed}: {told}")
        try:
            batch = fleet.create(requests(REQUESTS), f"key-{seed}")
            for death, moment in zip(deaths, moments, strict=True):
                until(fleet, batch.id, moment * REQUESTS)
                death()
            check_results(fleet, batch.id, REQUESTS)
            check_repeats(fleet, upstream, batch.id, deaths.count(fleet.kill_worker))
        except BaseException as error:
            error.add_note(f"seed {seed}: {told}")
            raise


def until(fleet: Fleet, batch_id: str, done: float) -> None:
    """Wait until so many requests are done."""
    deadline = time.monotonic() + ENDS_WITHIN
    while fleet.progress(batch_id).succeeded < done:
        assert time.monotonic() < deadline, fleet.progress(batch_id)
        time.sleep(0.05)


def wait_for_log(worker: WorkerProcess, words: str) -> None:
    deadline = time.monotonic() + ENDS_WITHIN
    while words not in worker.log:
        assert time.monotonic() < deadline, worker.log
        time.sleep(0.05)


def check_repeats(fleet: Fleet, upstream: SimulatedUpstream, batch_id: str, killed: int) -> None:
    stats = upstream.stats()
    assert stats.distinct_bodies == REQUESTS
    again = stats.calls - REQUESTS
    repeated = fleet.progress(batch_id).repeated
    print(f"asked again: {again}, of which the batch counts {repeated}; workers killed: {killed}")
    assert again <= killed * LOST_WITH_A_WORKER


@pytest.mark.timeout(300)
def test_a_gateway_killed_in_the_middle_of_a_create_leaves_one_batch_or_none(
    upstream: SimulatedUpstream, tmp_path: Path
) -> None:
    chance = random.Random(7)
    with Fleet(tmp_path, settings(upstream), chance, workers=1) as fleet:
        killer = threading.Timer(chance.uniform(0.05, 0.4), fleet.kill_gateway)
        killer.start()
        try:
            batch = fleet.create(requests(FEW), "once")
        finally:
            killer.join()
        assert fleet.create(requests(FEW), "once").id == batch.id
        check_results(fleet, batch.id, FEW)
        assert upstream.stats().distinct_bodies == FEW
        assert upstream.stats().calls == FEW


@pytest.mark.timeout(300)
def test_a_worker_that_was_paused_until_others_had_its_shards_changes_nothing_when_it_wakes(
    upstream: SimulatedUpstream, tmp_path: Path
) -> None:
    with Fleet(tmp_path, settings(upstream), random.Random(3)) as fleet:
        batch = fleet.create(requests(FEW), "paused")
        until(fleet, batch.id, FEW / 10)
        asleep = fleet.workers[0]
        asleep.signal(signal.SIGSTOP)
        check_results(fleet, batch.id, FEW)
        before = fleet.results(batch.id)
        asleep.signal(signal.SIGCONT)
        wait_for_log(asleep, "taken for dead")
        wait_for_log(asleep, "another worker has it")
        assert asleep.running
        again = fleet.create(requests(500), "after")
        fleet.ended(again.id, ENDS_WITHIN)
        assert fleet.results(batch.id) == before
        check_results(fleet, batch.id, FEW)
