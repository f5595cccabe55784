"""A gateway that is killed at each step of a batch, or at random moments, finishes the batch after a restart.

After every kill the batch ends, the results contain each custom_id exactly once and in order, and the counts are
exact. The gateway sends at most the requests in flight and one flush a second time, the progress counts them, and no
file or row is left over. A failure at a random moment names its seed. ``CRASH_SEEDS=200`` runs more seeds.
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
"""Two shards; the results of the first fill more than one write buffer of the result file."""
CONCURRENCY = 32
FLUSHED_TOGETHER = 256
MOST_REDELIVERED = CONCURRENCY + FLUSHED_TOGETHER
ENDS_WITHIN = 120.0  # seconds; only a batch that never ends should exceed it
LONGEST_RUN = 1.6  # seconds; the batch has ended by then, if no other process needs the processor

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
SEEDS = range(int(os.environ.get("CRASH_SEEDS", "8")))


@pytest.fixture(scope="module")
def provider() -> Iterator[SimulatedUpstream]:
    with simulated_upstream("--latency", "0.02", "--output-tokens", "500") as simulated:
        yield simulated


@pytest.fixture
def upstream(provider: SimulatedUpstream) -> SimulatedUpstream:
    provider.reset()
    return provider


def make_gateway(
    upstream: SimulatedUpstream, data_dir: Path, failpoints: str = "", *, more_settings: str = ""
) -> GatewayProcess:
    settings = f"""
    {more_settings}
    [accounts.anthropic]
    provider = "anthropic"
    base_url = "{upstream.url}"
    api_key = "sk-upstream"
    concurrency = {CONCURRENCY}
    """
    return GatewayProcess(data_dir=data_dir, settings=settings, environment={"BATCHGATE_FAILPOINTS": failpoints})


def anthropic_client(gateway: GatewayProcess) -> Anthropic:
    return Anthropic(base_url=f"{gateway.url}/anthropic", api_key="any", max_retries=0)


def submit_once(client: Anthropic) -> str | None:
    """Submit the batch with an idempotency key; return None if a kill prevented the acknowledgement."""
    message = {"max_tokens": 1000, "model": "m"}
    requests = [
        {"custom_id": f"r{number}", "params": {**message, "messages": [{"role": "user", "content": str(number)}]}}
        for number in range(REQUESTS)
    ]
    try:
        headers = {"Idempotency-Key": "the only batch"}
        return client.messages.batches.create(requests=requests, extra_headers=headers).id  # type: ignore[arg-type]
    except anthropic.APIConnectionError:
        return None


def find_or_submit(client: Anthropic, acknowledged: str | None) -> str:
    """Return the batch that exists after a crash, acknowledged or not; submit it again if there is none."""
    found = [batch.id for batch in client.messages.batches.list().data]
    assert len(found) <= 1
    if acknowledged is not None:
        assert found == [acknowledged]
    return found[0] if found else submit_once(client) or pytest.fail("the second create failed")


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


def redelivered_requests(client: Anthropic, batch_id: str) -> int:
    """Read how many requests were sent again, as the progress of the batch counts them."""
    url = str(client.base_url).replace("/anthropic", f"/api/batches/{batch_id}/progress").rstrip("/")
    progress = client.get(url, cast_to=object)
    assert isinstance(progress, dict)
    assert progress["succeeded"] == REQUESTS
    return int(progress["repeated"])


@pytest.mark.parametrize("step", STEPS)
def test_a_gateway_killed_at_a_step_finishes_the_batch_after_a_restart(
    upstream: SimulatedUpstream, tmp_path: Path, step: str
) -> None:
    with make_gateway(upstream, tmp_path, step) as gateway, anthropic_client(gateway) as client:
        acknowledged = submit_once(client)
        assert gateway.wait() == -signal.SIGKILL
    with make_gateway(upstream, tmp_path) as gateway, anthropic_client(gateway) as client:
        batch_id = find_or_submit(client, acknowledged)
        check_results(client, batch_id)
        resent = upstream.stats().calls - REQUESTS
        # The gateway cannot know whether a request that it was sending during the kill has arrived: it counts as sent.
        assert resent <= redelivered_requests(client, batch_id) <= min(resent + CONCURRENCY, MOST_REDELIVERED)
        assert upstream.stats().distinct_bodies == REQUESTS
        check_no_storage_leaks(tmp_path)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_gateway_killed_at_random_moments_finishes_the_batch(
    upstream: SimulatedUpstream, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    seconds_to_kill = [rng.uniform(0.0, LONGEST_RUN) for _ in range(rng.choice((1, 1, 2)))]
    acknowledged: str | None = None
    try:
        for seconds in seconds_to_kill:
            with make_gateway(upstream, tmp_path) as gateway, anthropic_client(gateway) as client:
                kill = threading.Timer(seconds, gateway.kill)
                kill.start()
                try:
                    acknowledged = acknowledged or submit_once(client)
                finally:
                    kill.join()
        with make_gateway(upstream, tmp_path) as gateway, anthropic_client(gateway) as client:
            batch_id = find_or_submit(client, acknowledged)
            check_results(client, batch_id)
            resent = upstream.stats().calls - REQUESTS
            # While one group of results is written, which takes long on a busy machine, the next one gathers.
            assert resent <= len(seconds_to_kill) * (MOST_REDELIVERED + FLUSHED_TOGETHER)
            assert resent <= len(seconds_to_kill) * redelivered_requests(client, batch_id)
            check_no_storage_leaks(tmp_path)
    except BaseException as error:
        error.add_note(
            f"seed {seed}: killed after {', '.join(f'{seconds:.3f}' for seconds in seconds_to_kill)} seconds"
        )
        raise


def test_a_gateway_killed_during_a_delete_leaves_no_file(upstream: SimulatedUpstream, tmp_path: Path) -> None:
    with make_gateway(upstream, tmp_path, "batch_deleted=kill") as gateway, anthropic_client(gateway) as client:
        batch_id = submit_once(client)
        assert batch_id is not None
        check_results(client, batch_id)
        with pytest.raises(anthropic.APIConnectionError):
            client.messages.batches.delete(batch_id)
        assert gateway.wait() == -signal.SIGKILL
    with make_gateway(upstream, tmp_path) as gateway, anthropic_client(gateway) as client:
        with pytest.raises(anthropic.NotFoundError):
            client.messages.batches.retrieve(batch_id)
        check_no_storage_leaks(tmp_path)
    assert not [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()]
