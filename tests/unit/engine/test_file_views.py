"""The files and views that show a batch."""

import pytest

from batchgate.engine.model.batch import BatchOptions
from batchgate.engine.model.usage import Counts
from batchgate.engine.results.file_views import BatchFileIds, batch_file_ids, parse_view_id
from tests.support.sample_batch import sample_batch


@pytest.mark.parametrize(
    ("counts", "blob", "output", "error"),
    [
        pytest.param(Counts(total=2, succeeded=1), None, None, None, id="running"),
        pytest.param(Counts(total=2, succeeded=2), "results", "file-output-msgbatch_01", None, id="all succeeded"),
        pytest.param(Counts(total=2, errored=2), "results", None, "file-error-msgbatch_01", id="all failed"),
        pytest.param(
            Counts(total=3, succeeded=1, canceled=1, expired=1),
            "results",
            "file-output-msgbatch_01",
            "file-error-msgbatch_01",
            id="stopped",
        ),
        pytest.param(Counts(total=2, succeeded=2), None, None, None, id="archived"),
    ],
)
def test_a_batch_of_anthropic_s_dialect_is_seen_as_views(
    counts: Counts, blob: str | None, output: str | None, error: str | None
) -> None:
    found = sample_batch(id="msgbatch_01", dialect="anthropic", counts=counts, results_blob=blob)
    assert batch_file_ids(found) == BatchFileIds(input="file-input-msgbatch_01", output=output, error=error)


def test_an_openai_batch_has_stored_files() -> None:
    options = BatchOptions(kind="chat_completions", input_file="file-in")
    found = sample_batch(options=options, output_file="file-out", results_blob="results")
    assert batch_file_ids(found) == BatchFileIds(input="file-in", output="file-out", error=None)
    inline = sample_batch(options=BatchOptions(kind="chat_completions"))
    assert batch_file_ids(inline) == BatchFileIds(input="file-input-batch_01", output=None, error=None)


def test_the_id_of_a_view_names_its_batch_and_part() -> None:
    assert parse_view_id("file-input-msgbatch_01") == ("msgbatch_01", "input")
    assert parse_view_id("file-output-batch_01") == ("batch_01", "output")
    assert parse_view_id("file-error-batch_01") == ("batch_01", "error")
    assert parse_view_id("file-8QfBrsPGZqmVQAjGpVgkAe") is None
