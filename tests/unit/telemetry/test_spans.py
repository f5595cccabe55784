"""The spans of a batch are one trace, whichever process tells of them."""

import asyncio
import threading

import pytest
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from batchgate.engine.model.usage import Counts
from batchgate.telemetry import CompositeTelemetry, EventLog
from batchgate.telemetry import spans as spans_module
from batchgate.telemetry.span_export import exported_spans
from batchgate.telemetry.spans import Spans
from tests.unit.telemetry.telemetry_values import batch, claim, request


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


def spans(exporter: InMemorySpanExporter) -> Spans:
    return Spans(SimpleSpanProcessor(exporter), "1")


def ids(span: ReadableSpan) -> tuple[int, int, int | None]:
    """Tell the ids of a span: its trace, its own, its parent."""
    context = span.get_span_context()
    assert context is not None
    return context.trace_id, context.span_id, span.parent.span_id if span.parent else None


async def run_shard(told: Spans, *custom_ids: str, outcome: str = "succeeded") -> None:
    """Tell of a shard as the worker does: in a task, with its requests in tasks of their own."""
    of = claim(batch())
    told.shard_claimed(of, waited=0.5)

    async def call(custom_id: str) -> None:
        told.call_ended(of.batch, "acc", request(custom_id), outcome, 0.25)

    await asyncio.gather(*map(call, custom_ids))
    told.shard_released(of, seconds=1.0)


async def test_a_batch_is_one_trace_with_the_create_as_its_root(exporter: InMemorySpanExporter) -> None:
    told = spans(exporter)
    told.batch_created(batch(), size=100, seconds=0.5)
    await asyncio.create_task(run_shard(told, "a", "b"))
    told.batch_finalized(batch(), Counts(total=2, succeeded=2), seconds=0.1)
    create, first, second, shard, finalize = exporter.get_finished_spans()
    assert [span.name for span in (create, first, shard, finalize)] == [
        "create batch",
        "call provider",
        "run shard",
        "finalize batch",
    ]
    trace, root, parent = ids(create)
    assert parent is None
    assert [ids(span)[0] for span in (first, second, shard, finalize)] == [trace] * 4
    assert [ids(span)[2] for span in (shard, finalize)] == [root] * 2
    assert [ids(span)[2] for span in (first, second)] == [ids(shard)[1]] * 2
    assert len({ids(span)[1] for span in (create, first, second, shard, finalize)}) == 5


async def test_another_process_continues_the_trace_of_a_batch(exporter: InMemorySpanExporter) -> None:
    spans(exporter).batch_created(batch(), size=100, seconds=0.5)
    await asyncio.create_task(run_shard(spans(exporter), "a"))
    create, _, shard = exporter.get_finished_spans()
    assert ids(shard)[0] == ids(create)[0]
    assert ids(shard)[2] == ids(create)[1]


async def test_batches_are_traces_of_their_own(exporter: InMemorySpanExporter) -> None:
    told = spans(exporter)
    for name in ("msgbatch_01one", "msgbatch_01other"):
        told.batch_created(batch(id=name), size=1, seconds=0.1)
    assert len({ids(span)[0] for span in exporter.get_finished_spans()}) == 2


async def test_a_call_says_what_it_was_and_how_long_it_took(exporter: InMemorySpanExporter) -> None:
    await asyncio.create_task(run_shard(spans(exporter), "a", outcome="rate_limit_error"))
    call, shard = exporter.get_finished_spans()
    assert call.kind is SpanKind.CLIENT
    assert call.status.status_code is StatusCode.ERROR
    assert call.attributes == {
        "batchgate.batch": "msgbatch_01told",
        "batchgate.custom_id": "a",
        "batchgate.account": "acc",
        "batchgate.outcome": "rate_limit_error",
        "gen_ai.request.model": "m",
        "error.type": "rate_limit_error",
    }
    assert call.start_time is not None
    assert call.end_time is not None
    assert call.end_time - call.start_time == 250_000_000
    assert shard.attributes == {
        "batchgate.batch": "msgbatch_01told",
        "batchgate.shard": 0,
        "batchgate.epoch": 1,
        "batchgate.waited_ms": 500,
    }


async def test_a_batch_that_is_not_sampled_has_no_span_at_all(
    exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.0")
    told = spans(exporter)
    told.batch_created(batch(), size=100, seconds=0.5)
    await asyncio.create_task(run_shard(told, "a"))
    assert not exporter.get_finished_spans()
    told.batch_created(batch(id="msgbatch_01next"), size=1, seconds=0.1)
    assert not exporter.get_finished_spans()


async def test_a_collector_that_is_down_holds_up_no_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stuck(SpanProcessor):
        released = threading.Event()

        def shutdown(self) -> None:
            self.released.wait()

    monkeypatch.setattr(spans_module, "CLOSE_WITHIN", 0.01)
    stuck = Stuck()
    async with asyncio.timeout(5):
        await Spans(stuck, "1").close()
    stuck.released.set()


async def test_several_listeners_hear_the_same(exporter: InMemorySpanExporter) -> None:
    CompositeTelemetry(EventLog(), spans(exporter), spans(exporter)).batch_created(batch(), size=1, seconds=0.1)
    assert len(exporter.get_finished_spans()) == 2


def test_without_a_collector_there_are_no_spans() -> None:
    assert exported_spans("1", {}) is None
    assert exported_spans("1", {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}) is None
