"""Batches in the OpenAI dialect."""

import msgspec
import pytest

from batchgate.api.openai.batch_view import openai_batch
from batchgate.engine.model.batch import BatchOptions, InputFault
from batchgate.engine.model.clock import MICROSECONDS
from batchgate.engine.model.usage import Counts, Usage
from batchgate_api import openai
from tests.support.sample_batch import sample_batch


def test_every_field_is_always_present() -> None:
    view = msgspec.to_builtins(openai_batch(sample_batch(status="validating", counts=Counts(total=0))))
    assert view.keys() == set(openai.Batch.__struct_fields__)
    assert view["request_counts"] == {"total": 0, "completed": 0, "failed": 0}
    assert view["usage"]["total_tokens"] == 0
    assert [name for name, value in view.items() if value is None] == [
        "model",
        "errors",
        "output_file_id",
        "error_file_id",
        "in_progress_at",
        "finalizing_at",
        "completed_at",
        "failed_at",
        "expired_at",
        "cancelling_at",
        "cancelled_at",
        "metadata",
    ]


def test_a_batch_contains_the_parameters_of_its_create() -> None:
    options = BatchOptions(kind="embeddings", model="simulated", metadata={"job": "1"}, input_file="file-a")
    view = openai_batch(sample_batch(options=options, created_at=7 * MICROSECONDS + 5))
    assert (view.endpoint, view.model, view.metadata) == ("/v1/embeddings", "simulated", {"job": "1"})
    assert (view.input_file_id, view.created_at) == ("file-a", 7)


def test_a_messages_batch_has_the_chat_completions_endpoint() -> None:
    assert openai_batch(sample_batch(dialect="anthropic", options=BatchOptions())).endpoint == "/v1/chat/completions"


def test_input_errors_are_returned_unchanged() -> None:
    faults = [InputFault(code="invalid_json_line", message="no", line=2), InputFault(code="empty_file", message="é")]
    batch = sample_batch(status="failed", first_faults=msgspec.json.encode(faults[:1]))
    assert msgspec.json.decode(msgspec.json.encode(openai_batch(batch)))["errors"]["data"][0]["line"] == 2
    written = msgspec.json.encode(openai_batch(batch, msgspec.json.encode(faults)))
    errors = msgspec.json.decode(written)["errors"]
    assert errors["object"] == "list"
    assert msgspec.convert(errors["data"], list[openai.BatchFault]) == [
        openai.BatchFault(code="invalid_json_line", message="no", param=None, line=2),
        openai.BatchFault(code="empty_file", message="é", param=None, line=None),
    ]


@pytest.mark.parametrize("status", ["in_progress", "ended"])
def test_counts_and_usage_include_all_results_so_far(status: str) -> None:
    counts = Counts(total=9, succeeded=3, errored=2, canceled=1, expired=1)
    usage = Usage(input_tokens=10, cached_tokens=4, output_tokens=5, reasoning_tokens=2)
    view = openai_batch(sample_batch(status=status, counts=counts, usage=usage, ended_at=MICROSECONDS))
    assert view.request_counts == openai.BatchRequestCounts(total=9, completed=3, failed=4)
    assert view.usage == openai.BatchUsage(
        input_tokens=10,
        input_tokens_details=openai.BatchInputTokens(cached_tokens=4),
        output_tokens=5,
        output_tokens_details=openai.BatchOutputTokens(reasoning_tokens=2),
        total_tokens=15,
    )
