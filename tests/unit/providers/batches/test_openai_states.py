"""What the OpenAI client makes of states, counters and faults (native-lanes 0, 2.1, 5, 10.1, 10.3)."""

from __future__ import annotations

import pytest

from batchgate.engine.ports.provider_batches import JobFault, UpstreamJob
from tests.unit.providers.batches.conftest import MakeClient
from tests.unit.providers.batches.recorder import KEY, Recorder, job
from tests.unit.providers.batches.test_openai_wire import BATCH
from tests.unit.providers.calls import Json


async def polled(client: MakeClient, recorder: Recorder, provider: str = "openai", **fields: object) -> UpstreamJob:
    """Poll a job of which the provider says this."""
    root = "/v1/batches/batch_1"
    recorder.answer(f"GET {root}", BATCH | fields)
    one = client(provider)
    upstream = await one.batches.poll(one.account, job())
    assert upstream is not None
    return upstream


@pytest.mark.parametrize(
    ("word", "outcome"),
    [
        ("validating", "running"),
        ("in_progress", "running"),
        ("finalizing", "running"),
        ("cancelling", "running"),
        ("CANCELING", "running"),
        ("a_new_word", "running"),
        ("completed", "completed"),
        ("COMPLETED", "completed"),
        ("failed", "failed"),
        ("expired", "expired"),
        ("cancelled", "canceled"),
    ],
)
async def test_only_known_final_words_end_a_job(
    client: MakeClient, recorder: Recorder, word: str, outcome: str
) -> None:
    upstream = await polled(client, recorder, status=word)

    assert (upstream.status, upstream.outcome) == (word, outcome)


@pytest.mark.parametrize(
    ("status", "counts", "output", "error", "results", "awaits"),
    [
        ("completed", {"total": 2, "completed": 2, "failed": 0}, None, None, (), True),
        ("completed", {"total": 2, "completed": 1, "failed": 1}, None, "err", ("err",), True),
        ("completed", {"total": 2, "completed": 2, "failed": 0}, "out", "", ("out",), False),
        ("completed", {"total": 2, "completed": 0, "failed": 2}, None, "err", ("err",), False),
        ("completed", {"total": 2, "completed": 0, "failed": 2}, None, None, (), True),
        ("completed", {"total": 2, "completed": 1, "failed": 1}, "out", None, ("out",), False),
        ("completed", None, "out", "err", ("out", "err"), False),
        ("completed", {"total": None, "completed": None, "failed": None}, None, None, (), True),
        ("cancelled", {"total": 5, "completed": 0, "failed": 0}, None, "err", ("err",), False),
        ("expired", {"total": 10, "completed": 1, "failed": 0}, "out", None, ("out",), False),
        ("in_progress", {"total": 2, "completed": 1, "failed": 0}, None, None, (), False),
        ("failed", {"total": 0, "completed": 0, "failed": 0}, None, None, (), False),
    ],
)
async def test_a_job_awaits_results_if_it_has_ended_and_its_counters_promise_more_than_its_files(
    client: MakeClient,
    recorder: Recorder,
    *,
    status: str,
    counts: object,
    output: str | None,
    error: str | None,
    results: tuple[str, ...],
    awaits: bool,
) -> None:
    fields: Json = {"request_counts": counts, "output_file_id": output, "error_file_id": error}
    upstream = await polled(client, recorder, status=status, **fields)

    assert (upstream.results, upstream.awaits_results) == (results, awaits)


@pytest.mark.parametrize(
    ("message", "limit"),
    [
        (
            "Enqueued token limit reached for gpt-4o in organization org-1. Limit: 90,000 enqueued tokens.",
            90_000,
        ),
        ("Enqueued token limit reached for gpt-4o. Limit: 2000000 enqueued tokens.", 2_000_000),
        ("The number of enqueued tokens has surpassed the configured limit of 30K for the deployment d.", 30_000),
        ("Too many tokens.", None),
    ],
)
async def test_a_refusal_for_enqueued_tokens_names_the_limit(
    client: MakeClient, recorder: Recorder, message: str, limit: int | None
) -> None:
    errors = {"object": "list", "data": [{"code": "token_limit_exceeded", "message": message, "line": None}]}
    upstream = await polled(client, recorder, status="failed", errors=errors)

    assert (upstream.limit_exceeded, upstream.token_limit) == (True, limit)


@pytest.mark.parametrize(
    ("provider", "line", "index"),
    [("openai", 1, 0), ("openai", 5, 4), ("openai", 0, None), ("openai", None, None), ("deepinfra", 0, 0)],
)
async def test_a_fault_names_the_row_from_0(
    client: MakeClient, recorder: Recorder, provider: str, line: int | None, index: int | None
) -> None:
    error = {"code": "invalid_json_line", "message": "This line is not parseable as valid JSON.", "line": line}
    upstream = await polled(client, recorder, provider, status="failed", errors={"data": [error | {"param": None}]})

    assert upstream.faults == (
        JobFault(code="invalid_json_line", message="This line is not parseable as valid JSON.", line=index),
    )
    assert not upstream.limit_exceeded


@pytest.mark.parametrize(
    ("errors", "faults"),
    [
        (
            [{"code": 400, "message": "bad", "param": "body.model", "line": 2}],
            (JobFault(code="400", message="body.model: bad", line=1),),
        ),
        ("Invalid model ID", (JobFault(code="", message="Invalid model ID"),)),
        ({"object": "list", "data": []}, ()),
        ({"object": "list", "data": None}, ()),
        ([None, 7], ()),
    ],
    ids=["a list", "a text", "no faults", "null", "neither"],
)
async def test_faults_are_read_in_every_form(
    client: MakeClient, recorder: Recorder, errors: object, faults: tuple[JobFault, ...]
) -> None:
    assert (await polled(client, recorder, status="failed", errors=errors)).faults == faults


async def test_a_fault_never_shows_the_key(client: MakeClient, recorder: Recorder) -> None:
    upstream = await polled(client, recorder, status="failed", errors=[{"code": "x", "message": f"key {KEY} is bad"}])

    assert upstream.faults == (JobFault(code="x", message="key [key] is bad"),)


async def test_a_wait_that_a_running_job_asks_for_is_reported(client: MakeClient, recorder: Recorder) -> None:
    recorder.answer("GET /v1/batches/batch_1", BATCH, headers={"Retry-After": "10"})
    openai = client("openai")

    upstream = await openai.batches.poll(openai.account, job())

    assert upstream is not None
    assert upstream.retry_after == 10.0
