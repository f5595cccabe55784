"""The metrics of calls are right at their edges, and bounded whatever callers send."""

from batchgate.engine.model.batch import Backlog
from batchgate.engine.model.shard import Chunk
from batchgate.engine.ports.telemetry import EngineState, LimiterState
from batchgate.telemetry import Metrics
from batchgate.telemetry.call_metrics import BOUNDS, MOST_MODELS, MOST_TALLIES
from batchgate.telemetry.workspace_names import MOST_WORKSPACES
from tests.support.scrape import Scrape
from tests.unit.telemetry.telemetry_values import batch, claim, request

NOTHING = EngineState(limiters=(), backlog=None, waiting_seconds=0.0, problems=0, workers=1)


async def exposed(metrics: Metrics, state: EngineState = NOTHING) -> Scrape:
    return Scrape((await metrics.expose(state)).decode())


async def test_a_call_is_in_the_bucket_of_its_bound_and_in_all_larger_ones() -> None:
    metrics = Metrics("1", "both")
    for seconds in (BOUNDS[0], BOUNDS[-1], BOUNDS[-1] + 1):
        metrics.call_ended(batch(), "acc", request(), "succeeded", seconds)
    found = await exposed(metrics)
    name = "batchgate_upstream_call_duration_seconds_bucket"
    assert found.value(name, account="acc", model="m", le=str(BOUNDS[0])) == 1
    assert found.value(name, account="acc", model="m", le=str(BOUNDS[-2])) == 1
    assert found.value(name, account="acc", model="m", le=str(BOUNDS[-1])) == 2
    assert found.value(name, account="acc", model="m", le="+Inf") == 3
    total = found.value("batchgate_upstream_call_duration_seconds_sum", account="acc", model="m")
    assert total == BOUNDS[0] + 2 * BOUNDS[-1] + 1


async def test_models_are_told_apart_up_to_a_bound_and_each_keeps_its_name_then() -> None:
    metrics = Metrics("1", "both")
    for number in range(MOST_MODELS + 50):
        metrics.call_ended(batch(), "acc", request(model=f"m{number}"), "succeeded", 0.1)
    metrics.call_ended(batch(), "acc", request(model="m0"), "succeeded", 0.1)
    metrics.call_retried(batch(), "acc", request(model="late"), "rate_limit_error")
    found = await exposed(metrics)
    calls = "batchgate_upstream_calls_total"
    assert len(found.labels(calls, "model")) == MOST_MODELS + 1
    assert found.value(calls, account="acc", model="m0", outcome="succeeded") == 2
    assert found.value(calls, account="acc", model="other", outcome="succeeded") == 50
    assert found.value("batchgate_retries_total", account="acc", model="other", reason="rate_limit_error") == 1


async def test_gates_of_models_without_a_name_of_their_own_are_added_up() -> None:
    limiters = tuple(
        LimiterState(account="acc", model=f"m{number}", limit=2.0, in_flight=1) for number in range(MOST_MODELS + 3)
    )
    found = await exposed(
        Metrics("1", "both"), EngineState(limiters=limiters, backlog=None, waiting_seconds=0.0, problems=0, workers=1)
    )
    assert found.value("batchgate_concurrency_limit", account="acc", model="m0") == 2
    assert found.value("batchgate_concurrency_limit", account="acc", model="other") == 6
    assert found.value("batchgate_upstream_calls_in_flight", account="acc", model="other") == 3


async def test_a_name_that_no_label_should_hold_is_written_so_that_it_can_be_read() -> None:
    metrics = Metrics("1", "both")
    model = 'a"b\\c\nd'
    metrics.call_ended(batch(), "acc", request(model=model), "succeeded", 0.1)
    assert (await exposed(metrics)).labels("batchgate_upstream_calls_total", "model") == {model}


async def test_a_flush_without_results_is_none() -> None:
    metrics, of = Metrics("1", "both"), claim(batch())
    metrics.results_flushed(of, Chunk(seqs=(), lines=b"", succeeded=0, errored=0), seconds=1.0)
    assert (await exposed(metrics)).value("batchgate_result_write_seconds_count") == 0
    metrics.results_flushed(of, Chunk(seqs=(0, 1), lines=b"", succeeded=1, errored=1), seconds=1.0)
    metrics.requests_redelivered(of, 2)
    found = await exposed(metrics)
    assert found.value("batchgate_result_write_seconds_count") == 1
    assert found.value("batchgate_requests_finished_total", outcome="errored") == 1
    assert found.value("batchgate_requests_redelivered_total") == 2


async def test_the_backlog_is_shown_if_it_is_known() -> None:
    metrics = Metrics("1", "both")
    backlog = Backlog(batches={("w", "canceling"): 3}, waiting_shards=7, waiting_since=5)
    known = await exposed(
        metrics, EngineState(limiters=(), backlog=backlog, waiting_seconds=2.5, problems=1, workers=1)
    )
    assert known.value("batchgate_batches", status="canceling") == 3
    assert ("batchgate_batches", frozenset({("workspace", "w"), ("status", "in_progress")})) in known.samples
    assert known.value("batchgate_shards_waiting") == 7
    assert known.value("batchgate_oldest_shard_wait_seconds") == 2.5
    assert known.value("batchgate_unhealthy_components") == 1
    unknown = await exposed(metrics)
    assert not {name for name, _ in unknown.samples} & {"batchgate_batches", "batchgate_shards_waiting"}


async def test_workspaces_are_told_apart_up_to_a_bound_and_nobody_sees_those_that_share_a_name() -> None:
    metrics = Metrics("1", "both")
    for number in range(MOST_WORKSPACES + 3):
        metrics.batch_created(batch(workspace=f"w{number}"), size=1, seconds=0.1)
    created = "batchgate_batches_created_total"
    found = await exposed(metrics)
    assert len(found.labels(created, "workspace")) == MOST_WORKSPACES + 1
    assert found.value(created, workspace="other") == 3
    for hidden in ("other", f"w{MOST_WORKSPACES}"):
        assert Scrape((await metrics.expose(NOTHING, hidden)).decode()).samples == {}
    own = Scrape((await metrics.expose(NOTHING, "w0")).decode())
    assert {name for name, _ in own.samples} >= {created, "batchgate_intake_bytes_total"}


async def test_the_combinations_of_workspace_and_model_are_bounded() -> None:
    metrics = Metrics("1", "both")
    for workspace in range(20):
        for model in range(100):
            told = batch(workspace=f"w{workspace}")
            metrics.call_ended(told, "acc", request(model=f"m{model}"), "succeeded", 0.1)
    found = await exposed(metrics)
    calls = "batchgate_upstream_calls_total"
    assert len([1 for name, _ in found.samples if name == calls]) <= MOST_TALLIES + 20
    assert sum(value for (name, _), value in found.samples.items() if name == calls) == 2000
