"""A gateway that is killed at each step of a batch's way, and at random moments, and what it is after the next start.

Whatever the moment: the batch ends, each custom_id stands exactly once in the results and in order, the counts are
exact, the provider is asked again no more than what was in flight and one flush, the batch says how often, and nothing
is left over. A failure at a random moment names its seed; ``CRASH_SEEDS=200`` runs more of them.
"""

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import anthropic
import pytest
from anthropic import Anthropic

from tests.support.gateway_process import GatewayProcess
from tests.support.simulated_upstream import SimulatedUpstream, simulated_upstream
from tests.support.storage_leaks import check_no_storage_leaks

REQUESTS = 600
"""In two shards, of which the first fills more than one write buffer of the result file."""
CONCURRENCY = 32
FLUSHED_TOGETHER = 256
MOST_REPEATS = CONCURRENCY + FLUSHED_TOGETHER
ENDS_WITHIN = 30.0  # seconds
LONGEST_LIFE = 1.6  # seconds; by then the batch has ended, if nobody else wants the processor

STEPS = [
    "intake_spooled=kill",
    "rows_written=kill",
    "shard_claimed=kill:2",
    "request_in_flight=kill:200",
    "response_received=kill:150",
    "chunk_half_flushed=kill:3",
    "last_shard_done=kill",
    "finalizing_started=kill",
    "result_file_written=kill",
    "batch_marked=kill",
    "chunks_deleted=kill",
]
SEEDS = range(int(os.environ.get("CRASH_SEEDS", "20")))


@pytest.fixture(scope="module")
def provider() -> Iterator[SimulatedUpstream]:
    with simulated_upstream("--latency", "0.02", "--output-tokens", "500") as simulated:
        yield simulated


@pytest.fixture
def upstream(provider: SimulatedUpstream) -> SimulatedUpstream:
    provider.reset()
    return provider


def gateway_on(upstream: SimulatedUpstream, data_dir: Path, failpoints: str = "", *, more: str = "") -> GatewayProcess:
    settings = f"""
    {more}
    [accounts.anthropic]
    provider = "anthropic"
    base_url = "{upstream.url}"
    api_key = "sk-upstream"
    concurrency = {CONCURRENCY}
    """
    return GatewayProcess(data_dir=data_dir, settings=settings, environment={"BATCHGATE_FAILPOINTS": failpoints})


def sdk(gateway: GatewayProcess) -> Anthropic:
    return Anthropic(base_url=f"{gateway.url}/anthropic", api_key="any", max_retries=0)


def submit(client: Anthropic) -> str | None:
    """Submit the batch, once however often it is asked for; None when the gateway did not live to acknowledge it."""
    message = {"max_tokens": 1000, "model": "m"}
    requests = [
        {"custom_id": f"r{number}", "params": {**message, "messages": [{"role": "user", "content": str(number)}]}}
        for number in range(REQUESTS)
    ]
    try:
        once = {"Idempotency-Key": "the only batch"}
        return client.messages.batches.create(requests=requests, extra_headers=once).id  # type: ignore[arg-type]
    except anthropic.APIConnectionError:
        return None


def found_again(client: Anthropic, acknowledged: str | None) -> str:
    """Find the batch after a crash, which may be there without having been acknowledged, or submit it again."""
    there = [batch.id for batch in client.messages.batches.list().data]
    assert len(there) <= 1
    if acknowledged is not None:
        assert there == [acknowledged]
    return there[0] if there else submit(client) or pytest.fail("the second create failed")


def check_results(client: Anthropic, batch_id: str) -> None:
    deadline = time.monotonic() + ENDS_WITHIN
    while (batch := client.messages.batches.retrieve(batch_id)).processing_status != "ended":
        assert time.monotonic() < deadline, batch
        time.sleep(0.02)
    assert batch.request_counts.to_dict() == {
        "processing": 0,
        "succeeded": REQUESTS,
        "errored": 0,
        "canceled": 0,
        "expired": 0,
    }
    results = list(client.messages.batches.results(batch_id))
    assert [line.custom_id for line in results] == [f"r{number}" for number in range(REQUESTS)]
    for number, line in enumerate(results):
        assert line.result.type == "succeeded"
        assert line.result.message.content[0].type == "text"
        assert line.result.message.content[0].text.startswith(f"You said: {number} and so on")


def repeated(client: Anthropic, batch_id: str) -> int:
    """Read how many requests the batch says were asked again."""
    url = str(client.base_url).replace("/anthropic", f"/api/batches/{batch_id}/progress").rstrip("/")
    progress = client.get(url, cast_to=object)
    assert isinstance(progress, dict)
    assert progress["succeeded"] == REQUESTS
    return int(progress["repeated"])


@pytest.mark.parametrize("step", STEPS)
def test_a_gateway_killed_at_a_step_ends_the_batch_as_if_it_had_not_been(
    upstream: SimulatedUpstream, tmp_path: Path, step: str
) -> None:
    with gateway_on(upstream, tmp_path, step) as gateway, sdk(gateway) as client:
        acknowledged = submit(client)
        assert gateway.wait() == -signal.SIGKILL
    with gateway_on(upstream, tmp_path) as gateway, sdk(gateway) as client:
        batch_id = found_again(client, acknowledged)
        check_results(client, batch_id)
        again = upstream.stats().calls - REQUESTS
        # A request that the kill has caught on its way out was sent as far as the gateway can know.
        assert again <= repeated(client, batch_id) <= min(again + CONCURRENCY, MOST_REPEATS)
        assert upstream.stats().distinct_bodies == REQUESTS
        check_no_storage_leaks(tmp_path)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_gateway_killed_at_random_moments_ends_the_batch_all_the_same(
    upstream: SimulatedUpstream, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    lives = [chance.uniform(0.0, LONGEST_LIFE) for _ in range(chance.choice((1, 1, 2)))]
    acknowledged: str | None = None
    try:
        for life in lives:
            with gateway_on(upstream, tmp_path) as gateway, sdk(gateway) as client:
                end = threading.Timer(life, gateway.kill)
                end.start()
                try:
                    acknowledged = acknowledged or submit(client)
                finally:
                    end.join()
        with gateway_on(upstream, tmp_path) as gateway, sdk(gateway) as client:
            batch_id = found_again(client, acknowledged)
            check_results(client, batch_id)
            again = upstream.stats().calls - REQUESTS
            assert again <= len(lives) * MOST_REPEATS
            assert again <= len(lives) * repeated(client, batch_id)
            check_no_storage_leaks(tmp_path)
    except BaseException as error:
        error.add_note(f"seed {seed}: killed after {', '.join(f'{life:.3f}' for life in lives)} seconds")
        raise


def test_a_delete_that_is_cut_in_two_leaves_no_file(upstream: SimulatedUpstream, tmp_path: Path) -> None:
    with gateway_on(upstream, tmp_path, "batch_deleted=kill") as gateway, sdk(gateway) as client:
        batch_id = submit(client)
        assert batch_id is not None
        check_results(client, batch_id)
        with pytest.raises(anthropic.APIConnectionError):
            client.messages.batches.delete(batch_id)
        assert gateway.wait() == -signal.SIGKILL
    with gateway_on(upstream, tmp_path) as gateway, sdk(gateway) as client:
        with pytest.raises(anthropic.NotFoundError):
            client.messages.batches.retrieve(batch_id)
        check_no_storage_leaks(tmp_path)
    assert not [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]
