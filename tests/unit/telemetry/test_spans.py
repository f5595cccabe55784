"""The spans of a batch form one trace, whichever process writes them."""

import asyncio
import threading

import pytest
from msgspec import structs
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from batchgate.engine.model.provider_call import RowKind
from batchgate.engine.model.usage import Counts
from batchgate.telemetry import CompositeTelemetry, EventLog
from batchgate.telemetry import spans as spans_module
from batchgate.telemetry.span_export import create_spans
from batchgate.telemetry.spans import Spans
from tests.unit.telemetry.telemetry_values import batch, claim, ended_call, request


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


def spans(exporter: InMemorySpanExporter) -> Spans:
    return Spans(SimpleSpanProcessor(exporter), "1")


def ids(span: ReadableSpan) -> tuple[int, int, int | None]:
    """Return the ids of a span: of its trace, its own, of its parent."""
    context = span.get_span_context()
    assert context is not None
    return context.trace_id, context.span_id, span.parent.span_id if span.parent else None


async def run_shard(telemetry: Spans, *custom_ids: str, outcome: str = "succeeded") -> None:
    """Report a shard as the worker does: in a task, with each request in its own task."""
    owner = claim(batch())
    telemetry.shard_claimed(owner, waited=0.5)

    async def call(custom_id: str) -> None:
        telemetry.call_ended(ended_call(owner.batch, request(custom_id), outcome=outcome))

    await asyncio.gather(*map(call, custom_ids))
    telemetry.shard_released(owner, seconds=1.0)


async def test_a_batch_is_one_trace_with_the_create_as_its_root(exporter: InMemorySpanExporter) -> None:
    telemetry = spans(exporter)
    telemetry.batch_created(batch(), size=100, seconds=0.5)
    await asyncio.create_task(run_shard(telemetry, "a", "b"))
    telemetry.batch_finalized(batch(), Counts(total=2, succeeded=2), seconds=0.1)
    create, first, second, shard, finalize = exporter.get_finished_spans()
    assert [span.name for span in (create, first, shard, finalize)] == [
        "create batch",
        "chat m",
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


async def test_each_batch_is_its_own_trace(exporter: InMemorySpanExporter) -> None:
    telemetry = spans(exporter)
    for name in ("msgbatch_01one", "msgbatch_01other"):
        telemetry.batch_created(batch(id=name), size=1, seconds=0.1)
    assert len({ids(span)[0] for span in exporter.get_finished_spans()}) == 2


async def test_the_span_of_a_call_has_its_attributes_and_duration(exporter: InMemorySpanExporter) -> None:
    await asyncio.create_task(run_shard(spans(exporter), "a", outcome="rate_limit_error"))
    call, shard = exporter.get_finished_spans()
    assert call.kind is SpanKind.CLIENT
    assert call.status.status_code is StatusCode.ERROR
    assert call.attributes == {
        "batchgate.batch": "msgbatch_01traced",
        "batchgate.custom_id": "a",
        "batchgate.account": "acc",
        "batchgate.outcome": "rate_limit_error",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "gcp.gemini",
        "gen_ai.request.model": "m",
        "error.type": "rate_limit_error",
    }
    assert call.start_time is not None
    assert call.end_time is not None
    assert call.end_time - call.start_time == 250_000_000
    assert shard.attributes == {
        "batchgate.batch": "msgbatch_01traced",
        "batchgate.shard": 0,
        "batchgate.epoch": 1,
        "batchgate.waited_ms": 500,
    }


@pytest.mark.parametrize(
    ("kind", "operation"),
    [
        ("messages", "chat"),
        ("chat_completions", "chat"),
        ("responses", "chat"),
        ("embeddings", "embeddings"),
        ("completions", "text_completion"),
    ],
)
def test_a_call_is_named_by_operation_and_model(exporter: InMemorySpanExporter, kind: RowKind, operation: str) -> None:
    row = structs.replace(request(model="m" * 200), kind=kind)
    spans(exporter).call_ended(ended_call(row=row))
    (call,) = exporter.get_finished_spans()
    assert call.name == f"{operation} {'m' * 128}"
    assert call.attributes is not None
    assert call.attributes["gen_ai.operation.name"] == operation


async def test_a_batch_that_is_not_sampled_has_no_spans(
    exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.0")
    telemetry = spans(exporter)
    telemetry.batch_created(batch(), size=100, seconds=0.5)
    await asyncio.create_task(run_shard(telemetry, "a"))
    assert not exporter.get_finished_spans()
    telemetry.batch_created(batch(id="msgbatch_01next"), size=1, seconds=0.1)
    assert not exporter.get_finished_spans()


async def test_an_unreachable_collector_does_not_delay_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stuck(SpanProcessor):
        released = threading.Event()

        def shutdown(self) -> None:
            self.released.wait()

    monkeypatch.setattr(spans_module, "CLOSE_TIMEOUT", 0.01)
    stuck = Stuck()
    async with asyncio.timeout(60):
        await Spans(stuck, "1").close()
    stuck.released.set()


async def test_every_listener_receives_every_event(exporter: InMemorySpanExporter) -> None:
    CompositeTelemetry(EventLog(), spans(exporter), spans(exporter)).batch_created(batch(), size=1, seconds=0.1)
    assert len(exporter.get_finished_spans()) == 2


def test_without_a_collector_there_are_no_spans() -> None:
    assert create_spans("1", {}) is None
    assert create_spans("1", {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}) is None
