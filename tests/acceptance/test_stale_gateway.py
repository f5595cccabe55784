"""A gateway that is paused, considered dead, and resumes beside the gateway that was started in its place."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from anthropic import Anthropic
from anthropic.types.messages import MessageBatch

from batchgate.engine.model.shard import SHARD_REQUESTS
from tests.support.gateway_process import SIMULATOR, GatewayProcess
from tests.support.running_app import create_body
from tests.support.storage_leaks import check_no_storage_leaks

TWO_SHARDS = [f"r{number}" for number in range(SHARD_REQUESTS + 1)]


def anthropic_client(gateway: GatewayProcess) -> Anthropic:
    return Anthropic(base_url=f"{gateway.url}/anthropic", api_key="any", max_retries=0)


def wait_until_ended(client: Anthropic, batch_id: str) -> MessageBatch:
    while (batch := client.messages.batches.retrieve(batch_id)).processing_status != "ended":
        time.sleep(0.01)
    return batch


@pytest.mark.parametrize(
    "step", ["response_received", "chunk_half_flushed", "finalizing_started", "result_file_written"]
)
def test_a_paused_gateway_changes_nothing_when_it_resumes_beside_the_gateway_that_finished_its_batch(
    tmp_path: Path, step: str
) -> None:
    # Two finalizations were dangerous: the first to end the batch deleted its chunks. The second read the chunks that
    # remained and overwrote the good file with "expired" lines. Now each writes its own file, and the store decides.
    data_dir, resume = tmp_path / "data", tmp_path / "resume"
    failpoints = {"BATCHGATE_FAILPOINTS": f"{step}=pause:{resume}"}
    holds_lock = step == "chunk_half_flushed"
    with (
        GatewayProcess(data_dir=data_dir, settings=SIMULATOR, environment=failpoints) as paused,
        anthropic_client(paused) as client,
        ThreadPoolExecutor() as pool,
    ):
        # The gateway may be paused before it has answered.
        pool.submit(client.messages.batches.create, **create_body(*TWO_SHARDS))
        while not resume.with_name("resume.reached").exists():
            time.sleep(0.01)
        # Without the lock file, which a network drive may lose, a second gateway can start beside the first.
        (data_dir / "lock").unlink(missing_ok=True)
        if holds_lock:
            # In a transaction it holds the lock of the database file; another process gets the lock only after a kill.
            paused.signal(signal.SIGKILL)
            paused.wait()
        with GatewayProcess(data_dir=data_dir) as fresh, anthropic_client(fresh) as fresh_client:
            (batch,) = fresh_client.messages.batches.list()
            batch_before = wait_until_ended(fresh_client, batch.id)
            results_before = list(fresh_client.messages.batches.results(batch.id))
            resume.touch()
            if not holds_lock:
                # A gateway finalizes one batch after the other: when a second batch has ended, the first is finalized.
                wait_until_ended(client, client.messages.batches.create(**create_body("late")).id)
            assert fresh_client.messages.batches.retrieve(batch.id) == batch_before
            assert list(fresh_client.messages.batches.results(batch.id)) == results_before
            assert [(line.custom_id, line.result.type) for line in results_before] == [
                (name, "succeeded") for name in TWO_SHARDS
            ]
            check_no_storage_leaks(data_dir)
