"""Spans for OpenTelemetry: one trace for each batch, whichever processes work on it and however often they restart.

The ids of the trace and of its root, the create, are derived from the id of the batch. Shards, calls and the
finalization find their trace by that, without anything stored.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Token
from threading import Thread
from typing import Final

from opentelemetry import context as current
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from batchgate.engine.model.batch import Batch
from batchgate.engine.model.claim import Claim
from batchgate.engine.model.provider_call import RequestRow
from batchgate.engine.model.usage import Counts
from batchgate.engine.ports.telemetry import SUCCEEDED, NoTelemetry

Attributes = dict[str, str | int]

BATCH: Final = "batchgate.batch"
ROOT: Final = "create batch"
CLOSE_WITHIN = 3.0  # seconds


def otlp_processor() -> SpanProcessor:
    """Send spans to the collector that the OTEL_EXPORTER_OTLP_ variables name, a few at a time and from a thread."""
    return BatchSpanProcessor(OTLPSpanExporter())


class Spans(NoTelemetry):
    """Tells of batches, shards, calls and finalizations as spans; with a provider of its own, nothing global."""

    def __init__(self, processor: SpanProcessor, version: str) -> None:
        self._ids = _Ids()
        named = Resource({"service.name": "batchgate", "service.version": version})
        self._provider = TracerProvider(
            resource=named.merge(OTELResourceDetector().detect()), id_generator=self._ids, shutdown_on_exit=False
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("batchgate", version)
        self._shards: dict[tuple[int, int, int], tuple[Span, Token[Context]]] = {}

    async def close(self) -> None:
        """Send what has not been sent; the SDK would try for 30 seconds, and a stop waits for less."""
        thread = Thread(target=self._provider.shutdown, daemon=True, name="spans-shutdown")
        thread.start()
        await asyncio.to_thread(thread.join, CLOSE_WITHIN)

    def batch_created(self, batch: Batch, *, size: int, seconds: float) -> None:
        """Write the root of the batch's trace."""
        attributes: Attributes = {
            BATCH: batch.id,
            "batchgate.workspace": batch.workspace,
            "batchgate.requests": batch.counts.total,
            "batchgate.bytes": size,
        }
        with self._ids.given(_ids_of(batch)):
            # In an empty context, since whatever span there may be around it belongs to another trace.
            self._write(ROOT, attributes, seconds, context=Context(), kind=SpanKind.SERVER)

    def shard_claimed(self, claim: Claim, *, waited: float) -> None:
        """Begin the span of a shard, around the calls of the task that this is said in."""
        attributes: Attributes = {
            BATCH: claim.batch.id,
            "batchgate.shard": claim.shard.index,
            "batchgate.epoch": claim.epoch,
            "batchgate.waited_ms": int(1000 * waited),
        }
        span = self._tracer.start_span("run shard", self._trace_of(claim.batch), attributes=attributes)
        self._shards[_key(claim)] = span, current.attach(set_span_in_context(span))

    def shard_released(self, claim: Claim, *, seconds: float) -> None:  # noqa: ARG002
        """End the span of a shard."""
        found = self._shards.pop(_key(claim), None)
        if found is not None:
            span, token = found
            current.detach(token)
            span.end()

    def call_ended(self, batch: Batch, account: str, request: RequestRow, outcome: str, seconds: float) -> None:
        """Write the span of a call."""
        attributes: Attributes = {
            BATCH: batch.id,
            "batchgate.custom_id": request.custom_id,
            "batchgate.account": account,
            "batchgate.outcome": outcome,
            "gen_ai.request.model": request.model[:128],
        }
        if outcome != SUCCEEDED:
            attributes["error.type"] = outcome
        self._write("call provider", attributes, seconds, kind=SpanKind.CLIENT, failed=outcome != SUCCEEDED)

    def batch_finalized(self, batch: Batch, counts: Counts, *, seconds: float) -> None:
        """Write the span of a finalization."""
        attributes: Attributes = {BATCH: batch.id}
        for ending in ("succeeded", "errored", "canceled", "expired"):
            attributes[f"batchgate.{ending}"] = getattr(counts, ending)
        self._write("finalize batch", attributes, seconds, context=self._trace_of(batch))

    def _write(
        self,
        name: str,
        attributes: Attributes,
        seconds: float,
        *,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        failed: bool = False,
    ) -> None:
        """Write a span that ends now, under ``context`` or else under the shard of this task."""
        now = time.time_ns()
        begun = now - int(seconds * 1e9)
        span = self._tracer.start_span(name, context, kind, attributes=attributes, start_time=begun)
        if failed:
            span.set_status(Status(StatusCode.ERROR))
        span.end(now)

    def _trace_of(self, batch: Batch) -> Context:
        """Make the context of a batch, sampled if its root was."""
        trace_id, span_id = _ids_of(batch)
        sampled = self._provider.sampler.should_sample(None, trace_id, ROOT).decision is Decision.RECORD_AND_SAMPLE
        flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
        return set_span_in_context(NonRecordingSpan(SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags)))


class _Ids(RandomIdGenerator):
    """Random ids, but for a root whose ids are given."""

    def __init__(self) -> None:
        self._given: tuple[int, int] | None = None

    @contextmanager
    def given(self, ids: tuple[int, int]) -> Iterator[None]:
        """Let the root that is begun within have these ids, of its trace and its own."""
        self._given = ids
        try:
            yield
        finally:
            self._given = None

    def generate_trace_id(self) -> int:
        return super().generate_trace_id() if self._given is None else self._given[0]

    def generate_span_id(self) -> int:
        return super().generate_span_id() if self._given is None else self._given[1]


def _ids_of(batch: Batch) -> tuple[int, int]:
    """Derive the ids of a batch's trace and of its root; they are never 0, which would be none."""
    digest = hashlib.blake2b(batch.id.encode(), digest_size=24).digest()
    return int.from_bytes(digest[:16]) or 1, int.from_bytes(digest[16:]) or 1


def _key(claim: Claim) -> tuple[int, int, int]:
    return claim.batch.key, claim.shard.index, claim.epoch
