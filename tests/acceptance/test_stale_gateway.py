"""A gateway that is paused, taken for dead, and wakes up beside the one that was started in its place."""

import signal
import time
from pathlib import Path

import pytest
from anthropic import Anthropic
from anthropic.types.messages import MessageBatch

from batchgate.engine.model.shard import SHARD_REQUESTS
from tests.support.gateway_process import SIMULATOR, GatewayProcess
from tests.support.running_app import create_body
from tests.support.storage_leaks import check_no_storage_leaks

TWO_SHARDS = [f"r{number}" for number in range(SHARD_REQUESTS + 1)]


def sdk(gateway: GatewayProcess) -> Anthropic:
    return Anthropic(base_url=f"{gateway.url}/anthropic", api_key="any", max_retries=0)


def ended(client: Anthropic, batch_id: str) -> MessageBatch:
    while (batch := client.messages.batches.retrieve(batch_id)).processing_status != "ended":
        time.sleep(0.01)
    return batch


@pytest.mark.parametrize(
    "step", ["response_received", "chunk_half_flushed", "finalizing_started", "result_file_written"]
)
def test_a_gateway_paused_at_a_step_wakes_beside_one_that_has_finished_its_batch(tmp_path: Path, step: str) -> None:
    # Finalization twice was the dangerous one: the first to end the batch deletes its chunks, and the second, reading what
    # was left of them, wrote "expired" lines over the good file. Now each has a file of its own, and the store decides.
    data_dir, go = tmp_path / "data", tmp_path / "go"
    failpoints = {"BATCHGATE_FAILPOINTS": f"{step}=pause:{go}"}
    holds_lock = step == "chunk_half_flushed"
    with GatewayProcess(data_dir=data_dir, settings=SIMULATOR, environment=failpoints) as paused, sdk(paused) as client:
        batch = client.messages.batches.create(**create_body(*TWO_SHARDS))
        while not go.with_name("go.reached").exists():
            time.sleep(0.01)
        # What a network drive may do, and what keeps one gateway from starting beside another otherwise.
        (data_dir / "lock").unlink(missing_ok=True)
        if holds_lock:
            # In the middle of a transaction it holds the lock of the file; only its death gives that to another.
            paused.signal(signal.SIGKILL)
            paused.wait()
        with GatewayProcess(data_dir=data_dir) as fresh, sdk(fresh) as other:
            found = ended(other, batch.id)
            before = list(other.messages.batches.results(batch.id))
            go.touch()
            if not holds_lock:
                # It finalizes one after the other, so that it is through with the first when a second has ended.
                ended(client, client.messages.batches.create(**create_body("late")).id)
            assert other.messages.batches.retrieve(batch.id) == found
            assert list(other.messages.batches.results(batch.id)) == before
            assert [(line.custom_id, line.result.type) for line in before] == [
                (name, "succeeded") for name in TWO_SHARDS
            ]
            check_no_storage_leaks(data_dir)
