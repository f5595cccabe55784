"""Metrics are exact at the bounds of buckets, and the number of time series is bounded."""

from msgspec import structs

from batchgate.engine.model.batch import Backlog
from batchgate.engine.model.health_report import AccountPause
from batchgate.engine.model.shard import ResultChunk
from batchgate.engine.ports.telemetry import EngineState, LimiterState
from batchgate.telemetry import Metrics
from batchgate.telemetry.call_metrics import FIRST_MODELS, LATENCY_BUCKETS, MAX_MODELS, MAX_TALLIES
from batchgate.telemetry.workspace_labels import MAX_WORKSPACES
from tests.support.scrape import Scrape
from tests.unit.telemetry.telemetry_values import batch, claim, ended_call, request

EMPTY_STATE = EngineState(limiters=(), backlog=None, waiting_seconds=0.0, problems=0, damaged_blobs=0, workers=1)


async def scrape(metrics: Metrics, state: EngineState = EMPTY_STATE) -> Scrape:
    return Scrape((await metrics.expose(state)).decode())


async def test_a_call_counts_in_the_bucket_of_its_bound_and_in_all_larger_ones() -> None:
    metrics = Metrics("1", "both")
    for seconds in (LATENCY_BUCKETS[0], LATENCY_BUCKETS[-1], LATENCY_BUCKETS[-1] + 1):
        metrics.call_ended(ended_call(seconds=seconds))
    found = await scrape(metrics)
    name = "batchgate_upstream_call_duration_seconds_bucket"
    assert found.value(name, account="acc", model="m", le=str(LATENCY_BUCKETS[0])) == 1
    assert found.value(name, account="acc", model="m", le=str(LATENCY_BUCKETS[-2])) == 1
    assert found.value(name, account="acc", model="m", le=str(LATENCY_BUCKETS[-1])) == 2
    assert found.value(name, account="acc", model="m", le="+Inf") == 3
    total = found.value("batchgate_upstream_call_duration_seconds_sum", account="acc", model="m")
    assert total == LATENCY_BUCKETS[0] + 2 * LATENCY_BUCKETS[-1] + 1


async def test_models_have_labels_up_to_a_bound_and_keep_them() -> None:
    metrics = Metrics("1", "both")
    for number in range(MAX_MODELS + 50):
        metrics.call_ended(ended_call(row=request(model=f"m{number}"), seconds=0.1))
    metrics.call_ended(ended_call(row=request(model="m0"), seconds=0.1))
    metrics.call_retried(batch(), "acc", request(model="late"), "rate_limit_error")
    found = await scrape(metrics)
    calls = "batchgate_upstream_calls_total"
    assert len(found.labels(calls, "model")) == MAX_MODELS + 1
    assert found.value(calls, account="acc", model="m0", outcome="succeeded") == 2
    assert found.value(calls, account="acc", model="other", outcome="succeeded") == 50
    assert found.value("batchgate_retries_total", account="acc", model="other", reason="rate_limit_error") == 1


async def test_limiters_of_models_without_a_label_are_summed() -> None:
    limiters = tuple(
        LimiterState(account="acc", model=f"m{number}", limit=2.0, in_flight=1) for number in range(MAX_MODELS + 3)
    )
    found = await scrape(
        Metrics("1", "both"),
        EngineState(limiters=limiters, backlog=None, waiting_seconds=0.0, problems=0, damaged_blobs=0, workers=1),
    )
    assert found.value("batchgate_concurrency_limit", account="acc", model="m0") == 2
    assert found.value("batchgate_concurrency_limit", account="acc", model="other") == 6
    assert found.value("batchgate_upstream_calls_in_flight", account="acc", model="other") == 3


async def test_pauses_are_counted_by_the_account_and_the_reason() -> None:
    components = ("account/a", "account/a/some/model", "account/b/m")
    pauses = tuple(
        AccountPause(code="rate_limited", component=component, since=1, reason="slow") for component in components
    )
    found = await scrape(Metrics("1", "both"), structs.replace(EMPTY_STATE, pauses=pauses))
    assert found.value("batchgate_account_pauses", account="a", code="rate_limited") == 2
    assert found.value("batchgate_account_pauses", account="b", code="rate_limited") == 1


async def test_special_characters_in_a_label_are_escaped() -> None:
    metrics = Metrics("1", "both")
    model = 'a"b\\c\nd'
    metrics.call_ended(ended_call(row=request(model=model), seconds=0.1))
    assert (await scrape(metrics)).labels("batchgate_upstream_calls_total", "model") == {model}


async def test_a_write_without_results_is_not_counted() -> None:
    metrics, owner = Metrics("1", "both"), claim(batch())
    metrics.results_flushed(owner, ResultChunk(seqs=(), lines=b"", succeeded=0, errored=0), seconds=1.0, native=False)
    assert (await scrape(metrics)).value("batchgate_result_write_seconds_count") == 0
    metrics.results_flushed(
        owner, ResultChunk(seqs=(0, 1), lines=b"", succeeded=1, errored=1), seconds=1.0, native=False
    )
    metrics.requests_redelivered(owner, 2)
    found = await scrape(metrics)
    assert found.value("batchgate_result_write_seconds_count") == 1
    assert found.value("batchgate_requests_finished_total", outcome="errored") == 1
    assert found.value("batchgate_requests_redelivered_total") == 2


async def test_the_backlog_is_exported_if_it_is_available() -> None:
    metrics = Metrics("1", "both")
    backlog = Backlog(batches={("w", "canceling"): 3}, waiting_shards=7, waiting_since=5)
    with_backlog = await scrape(
        metrics, EngineState(limiters=(), backlog=backlog, waiting_seconds=2.5, problems=1, damaged_blobs=0, workers=1)
    )
    assert with_backlog.value("batchgate_batches", status="canceling") == 3
    assert ("batchgate_batches", frozenset({("workspace", "w"), ("status", "in_progress")})) in with_backlog.samples
    assert with_backlog.value("batchgate_shards_waiting") == 7
    assert with_backlog.value("batchgate_oldest_shard_wait_seconds") == 2.5
    assert with_backlog.value("batchgate_unhealthy_components") == 1
    without_backlog = await scrape(metrics)
    assert not {name for name, _ in without_backlog.samples} & {"batchgate_batches", "batchgate_shards_waiting"}


async def test_workspaces_have_labels_up_to_a_bound_and_the_shared_label_is_not_readable() -> None:
    metrics = Metrics("1", "both")
    for number in range(MAX_WORKSPACES + 3):
        metrics.batch_created(batch(workspace=f"w{number}"), size=1, seconds=0.1)
    created = "batchgate_batches_created_total"
    found = await scrape(metrics)
    assert len(found.labels(created, "workspace")) == MAX_WORKSPACES + 1
    assert found.value(created, workspace="other") == 3
    for hidden in ("other", f"w{MAX_WORKSPACES}"):
        assert Scrape((await metrics.expose(EMPTY_STATE, hidden)).decode()).samples == {}
    own = Scrape((await metrics.expose(EMPTY_STATE, "w0")).decode())
    assert {name for name, _ in own.samples} >= {created, "batchgate_intake_bytes_total"}


async def test_the_combinations_of_workspace_and_model_are_bounded() -> None:
    metrics = Metrics("1", "both")
    for workspace in range(20):
        for model in range(100):
            traced = batch(workspace=f"w{workspace}")
            metrics.call_ended(ended_call(traced, request(model=f"m{model}"), seconds=0.1))
    found = await scrape(metrics)
    calls = "batchgate_upstream_calls_total"
    series = len([1 for name, _ in found.samples if name == calls])
    assert MAX_TALLIES < series <= MAX_TALLIES + 20 * (FIRST_MODELS + 1)
    assert sum(value for (name, _), value in found.samples.items() if name == calls) == 2000


async def test_a_workspace_with_many_models_takes_no_label_of_another() -> None:
    metrics = Metrics("1", "both")
    for number in range(MAX_MODELS * 3):
        metrics.call_ended(ended_call(batch(workspace="hostile"), request(model=f"made-up-{number}"), seconds=0.1))
    for number in range(MAX_MODELS):
        metrics.call_ended(ended_call(batch(workspace="other-team"), request(model=f"m{number}"), seconds=0.1))
    found = Scrape((await metrics.expose(EMPTY_STATE, "other-team")).decode())
    models = found.labels("batchgate_upstream_calls_total", "model")
    assert models == {f"m{number}" for number in range(MAX_MODELS)}
    limiters = (LimiterState(account="acc", model="m7", limit=2.0, in_flight=1),)
    state = EngineState(limiters=limiters, backlog=None, waiting_seconds=0.0, damaged_blobs=0, problems=0, workers=1)
    assert (await scrape(metrics, state)).value("batchgate_concurrency_limit", account="acc", model="m7") == 2


async def test_the_first_models_of_a_workspace_have_labels_although_others_have_used_up_the_rest() -> None:
    metrics = Metrics("1", "both")
    for workspace in range(MAX_TALLIES // MAX_MODELS + 1):
        for number in range(MAX_MODELS):
            traced = batch(workspace=f"hostile-{workspace}")
            metrics.call_ended(ended_call(traced, request(model=f"made-up-{number}"), seconds=0.1))
    for number in range(FIRST_MODELS + 3):
        metrics.call_ended(ended_call(batch(workspace="w"), request(model=f"m{number}"), seconds=0.1))
    found = Scrape((await metrics.expose(EMPTY_STATE, "w")).decode())
    calls = "batchgate_upstream_calls_total"
    assert found.labels(calls, "model") == {"other", *(f"m{number}" for number in range(FIRST_MODELS))}
    assert found.value(calls, account="acc", model="other", outcome="succeeded") == 3
